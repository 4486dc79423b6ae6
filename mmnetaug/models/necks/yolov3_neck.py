"""The neck of YOLOv3, and its 3x3 convolutions made depthwise separable."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.necks import YOLOV3Neck
from torch import nn

from mmnetaug.registry import MODELS


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
            make_depthwise(self)


def make_depthwise(module: nn.Module) -> None:
    """Replace each 3x3 ``ConvModule`` of ``module`` by a depthwise separable one with YOLOv3's activation."""
    for name, child in module.named_children():
        if isinstance(child, ConvModule) and child.kernel_size == (3, 3):
            separable = DepthwiseSeparableConvModule(
                child.in_channels,
                child.out_channels,
                3,
                padding=1,
                norm_cfg={'type': 'BN'},
                act_cfg={'type': 'LeakyReLU', 'negative_slope': 0.1},
            )
            setattr(module, name, separable)
        else:
            make_depthwise(child)
