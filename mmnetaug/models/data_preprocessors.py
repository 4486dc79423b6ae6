"""What is done to whole batches."""

import random

from mmdet.models.data_preprocessors import BatchSyncRandomResize
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from torch import Tensor

from mmnetaug.registry import MODELS


@MODELS.register_module()
class MultiScaleResize(BatchSyncRandomResize):
    """mmdet's ``BatchSyncRandomResize``, whose sizes follow from the run's seed and the step alone.

    So a resumed run has the sizes of an undisturbed one, and all processes have the same without telling each other,
    but for ``randomness.diff_rank_seed``.

    Args:
        random_size_range: smallest and largest height in pixels; the ratio of sides stays, in whole multiples.
        interval: steps between two draws; before the first, batches keep their size. Statistics of normalisation are
            those of some ten steps, with an interval of 10 those of one or two sizes.
        size_divisor: sides are multiples of it.
    """

    def forward(self, inputs: Tensor, data_samples: list[DetDataSample]) -> tuple[Tensor, list[DetDataSample]]:
        """(N, 3, H, W) images and their boxes -> the same, resized."""
        hub = MessageHub.get_current_instance()
        draw = hub.get_info('iter') // self._interval
        height, width = inputs.shape[-2:]
        self._input_size = (height, width)
        if draw:
            side = random.Random(f'{hub.get_info("seed")}/{draw}').randint(*self._random_size_range)
            divisor = self._size_divisor
            self._input_size = (divisor * side, divisor * int(side * width / height))
        return super().forward(inputs, data_samples)
