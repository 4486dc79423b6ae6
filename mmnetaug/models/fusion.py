"""Normalisation as a part of the convolution before it, which inference alone can have."""

import copy

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmnetaug.models.networks.layers import ConvNormAct


def fused(model: nn.Module) -> nn.Module:
    """A copy for inference that computes the same to rounding, without batch normalisation behind its convolutions.

    What is fused are our layers and mmcv's ``ConvModule``; others stay. Convolutions that several layers share with a
    normalisation of each (RTMDet) get a copy for each.

    Args:
        model: stays as it is.

    Returns:
        The copy, in evaluation mode; training it would be another network.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    model.eval()  # which gives nothing back in some of mmdet's backbones
    for layer in list(model.modules()):
        if isinstance(layer, ConvNormAct) and hasattr(layer, 'norm'):
            name = 'norm'
        elif isinstance(layer, ConvModule) and layer.with_norm and layer.order[:2] == ('conv', 'norm'):
            name = layer.norm_name
        else:
            continue
        norm = getattr(layer, name)
        if isinstance(norm, nn.BatchNorm2d):
            layer.conv = fuse_conv_bn_eval(layer.conv, norm)
            setattr(layer, name, nn.Identity())
    return model
