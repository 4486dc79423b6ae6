"""A word in time where a run learns nothing."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.schedule import warmup_epochs
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class NothingLearntHook(Hook):
    """Say once what to look at where nothing is learnt after a tenth of the epochs, and after the warm-up.

    Nothing is an AP50 of a detector below ``least``, or a top-1 accuracy of a classifier that is above chance by less
    than two hundredths of what is left.

    Args:
        least: AP50, a fraction.
    """

    priority = 'LOW'

    def __init__(self, least: float = 0.01) -> None:
        self.least, self.said = least, False

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if self.said or not runner.iter:
            return
        early = max(0.1 * runner.max_epochs, min(warmup_epochs(runner.cfg), runner.max_epochs))
        if runner.epoch < early:
            return
        known = ('AP50_area', 'coco/AP50', 'coco/bbox_mAP_50', 'top1')  # the third is mmdet's
        found = next((name for name in known if name in (metrics or {})), None)
        if found is None:
            return
        chance = 100 / max(len(runner.val_dataloader.dataset.metainfo.get('classes') or ['']), 1)
        least = chance + 0.02 * (100 - chance) if found == 'top1' else self.least
        if metrics[found] >= least:
            return
        self.said = True
        group = runner.optim_wrapper.param_groups[0]
        rate = group.get('initial_lr', group['lr'])  # scaled with the batch
        loader = runner.train_dataloader
        batch = (loader.batch_size or loader.batch_sampler.batch_size) * get_world_size()
        advice = 'that each folder of a class has its images, and that training and validation have the same ones'
        if found != 'top1':
            advice = (
                'boxes and classes (train_batch.jpg in the work directory; mmnetaug check), and the starting '
                'weights (--pretrained)'
            )
        runner.logger.warning(
            f'{found} is {metrics[found]:.3g} after {runner.epoch} of {runner.max_epochs} epochs: next to nothing is '
            f'learnt yet. Look at the batch ({batch} images; --batch-size) and the learning rate ({rate:.2g} '
            f'with this batch; --lr), {advice}'
        )
