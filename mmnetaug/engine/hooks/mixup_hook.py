"""When detection mixup ends."""

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.datasets.mixup import DetectionMixup
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class MixupSwitchHook(Hook):
    """Stop mixing for the last part of training, also in a run that is resumed there.

    Args:
        unmixed: the last part, as a share of all epochs; rounded up to whole epochs.
    """

    def __init__(self, unmixed: float = 0.1) -> None:
        self.unmixed = unmixed

    def before_train_epoch(self, runner: Runner) -> None:
        mixing = runner.epoch < runner.max_epochs - math.ceil(self.unmixed * runner.max_epochs)
        for transform in runner.train_dataloader.dataset.pipeline:
            if isinstance(transform, DetectionMixup) and transform.mixing != mixing:
                transform.mixing = mixing
                runner.logger.info(f'detection mixup is {"on" if mixing else "off"} from epoch {runner.epoch + 1} on')
