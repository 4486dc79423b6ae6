"""What a config says of the epochs of a training."""

from bisect import bisect

from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop


def validates_after(loop: EpochBasedTrainLoop, epoch: int) -> bool:
    """Whether a training validates after this many epochs."""
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, epoch + 1) - 1]
    return epoch >= loop.val_begin and (epoch % interval == 0 or epoch == loop.max_epochs)


def warmup_epochs(config: Config) -> int:
    """Length of the linear warm-up in epochs, 0 where there is none or where it is counted in steps."""
    schedulers = config.get('param_scheduler') or []
    first = schedulers[0] if isinstance(schedulers, list) and schedulers else {}
    if first.get('type') != 'LinearLR' or not first.get('by_epoch', True):
        return 0
    rises = first.get('start_factor', 1 / 3) < first.get('end_factor', 1)
    return first.get('end') or 0 if rises else 0
