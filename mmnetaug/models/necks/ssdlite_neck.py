"""The extra layers of SSDLite."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.necks import SSDNeck

from mmnetaug.archs import round_to_8
from mmnetaug.models.task_modules.prior_generators import Size, ssdlite_feature_sizes
from mmnetaug.registry import MODELS


@MODELS.register_module()
class SSDLiteNeck(SSDNeck):
    """mmdet's ``SSDNeck`` with as many extra layers as the image size has levels, as wide as the backbone is.

    Args:
        in_channels: of the backbone's two feature maps.
        size: side of the images in pixels, or width and height; multiples of 32 of at least 96.
        extra_channels: of the extra layers beside a first feature map of ``reference_channels``: SSDLite's on
            MobileNetV2. Beside a narrower one they are narrower in proportion, beside a wider one they stay.
        reference_channels: see there.
        kwargs: as in ``SSDNeck``.

    Attributes:
        out_channels: channels of each level.

    Raises:
        InputError: an impossible size.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        size: Size,
        extra_channels: Sequence[int] = (512, 256, 256, 128),
        reference_channels: int = 576,
        **kwargs: Any,
    ) -> None:
        number = len(ssdlite_feature_sizes(size)) - len(in_channels)
        multiplier = min(1.0, in_channels[0] / reference_channels)
        extras = [round_to_8(channels, multiplier) for channels in extra_channels[:number]]
        out_channels = (*in_channels, *extras)
        super().__init__(
            in_channels=tuple(in_channels),
            out_channels=out_channels,
            level_strides=[2] * number,
            level_paddings=[1] * number,
            l2_norm_scale=None,
            **kwargs,
        )
        self.out_channels = out_channels
