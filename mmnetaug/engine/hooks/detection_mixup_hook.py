"""Detection mixup as a switch."""

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.datasets.transforms import add_detection_mixup
from mmnetaug.engine.hooks.regularizers import check_strength
from mmnetaug.engine.runner import bare_model
from mmnetaug.errors import InputError
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class DetectionMixupHook(Hook):
    """Mix training images (arXiv 1902.04103), but not in the last part of training, also where it is resumed there.

    Args:
        alpha: of :class:`~mmnetaug.datasets.transforms.DetectionMixup`.
        unmixed: the last part, as a share of all epochs; rounded up to whole epochs.

    Raises:
        InputError: in training, for a head that takes no weights of objects, or data that cannot be mixed.
    """

    def __init__(self, alpha: float = 1.5, unmixed: float = 0.1) -> None:
        check_strength('unmixed of detection mixup', unmixed)
        check_strength('alpha of detection mixup', alpha, math.inf)
        if not alpha:
            raise InputError('detection mixup with alpha 0 mixes nothing: leave it out (--no-mixup)')
        self.alpha, self.unmixed = alpha, unmixed

    def before_train(self, runner: Runner) -> None:
        head = getattr(bare_model(runner), 'bbox_head', bare_model(runner))
        if not getattr(head, 'weighs_objects', False):
            raise InputError(
                f'detection mixup gives each object a weight, for which the losses of {type(head).__name__} have no '
                'place: leave out --mixup, or take a head that weighs objects (SSDLiteHead, YOLOv3Head)'
            )
        self.mixups = add_detection_mixup(runner.train_dataloader.dataset, self.alpha)

    def before_train_epoch(self, runner: Runner) -> None:
        mixing = runner.epoch < runner.max_epochs - math.ceil(self.unmixed * runner.max_epochs)
        for mixup in self.mixups:
            if mixup.mixing != mixing:
                mixup.mixing = mixing
                runner.logger.info(f'detection mixup is {"on" if mixing else "off"} from epoch {runner.epoch + 1} on')
