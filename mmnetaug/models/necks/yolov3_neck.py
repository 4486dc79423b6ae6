"""The neck of YOLOv3."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.necks import YOLOV3Neck

from mmnetaug.models.layers import make_depthwise
from mmnetaug.registry import MODELS

LEAKY_RELU = {'type': 'LeakyReLU', 'negative_slope': 0.1}  # YOLOv3's activation


@MODELS.register_module()
class YOLOv3Neck(YOLOV3Neck):
    """mmdet's ``YOLOV3Neck``, as wide as the middle one of the backbone's feature maps.

    Args:
        in_channels: of the backbone's feature maps, from high to low resolution.
        max_channels: the widest it gets. On MobileNetV2 1.0 it has the 96 channels of mmdet's YOLOv3 for it.
        depthwise: make every 3x3 convolution depthwise separable.
        kwargs: as in ``YOLOV3Neck``.

    Attributes:
        out_channels: channels of each level, from low to high resolution.
    """

    def __init__(
        self, in_channels: Sequence[int], max_channels: int = 256, depthwise: bool = True, **kwargs: Any
    ) -> None:
        channels = [min(max_channels, in_channels[1])] * len(in_channels)
        super().__init__(len(in_channels), list(in_channels)[::-1], channels, **kwargs)
        if depthwise:
            make_depthwise(self, kwargs.get('act_cfg', LEAKY_RELU))
