"""Layers of necks and heads."""

from typing import Any

from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import nn


def make_depthwise(module: nn.Module, act_cfg: dict[str, Any]) -> None:
    """Replace each 3x3 ``ConvModule`` of ``module`` by a depthwise separable one with batch normalisation.

    Args:
        module: changed in place.
        act_cfg: configuration of the activation after each of its two convolutions.
    """
    for name, child in module.named_children():
        if isinstance(child, ConvModule) and child.kernel_size == (3, 3):
            separable = DepthwiseSeparableConvModule(
                child.in_channels, child.out_channels, 3, padding=1, norm_cfg={'type': 'BN'}, act_cfg=act_cfg
            )
            setattr(module, name, separable)
        else:
            make_depthwise(child, act_cfg)
