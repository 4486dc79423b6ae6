"""The layers all networks are made of, and how they use only the leading block of their weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmnetaug import archs
from mmnetaug.archs import Block, Conv, Pool, Row

ACTIVATIONS = dict(zip(archs.ACTIVATIONS, (nn.ReLU, nn.ReLU6, nn.Hardswish)))


def same_pads(side: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's padding SAME at the two ends of a side of ``side`` pixels, for an output of ceil(side / stride);
    where the sum is odd, the last end has one more."""
    total = max((math.ceil(side / stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
    return total // 2, total - total // 2


class SamePad(nn.Module):
    """Zeros around (N, C, H, W) for a convolution, as TensorFlow's padding SAME: of a 3x3 convolution of stride 2 on
    even sides right and bottom alone, where PyTorch's networks pad all around.

    Keras' weights are for it. TFLite has it in the convolution; before any other padding it copies the whole map.
    """

    def __init__(self, kernel_size: int, stride: int):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (same_pads(side, self.kernel_size, self.stride) for side in x.shape[2:])
        return F.pad(x, (*columns, *rows))


class ConvNormAct(nn.Sequential):
    """``conv`` - ``norm`` - ``act``, perhaps behind ``pad``. (N, C_in, H, W) -> (N, C_out, H', W')."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        act: str | None = None,
        norm: bool = True,
        padding: str = 'symmetric',
    ):
        super().__init__()
        around = kernel_size // 2
        if padding == 'tf' and stride > 1 and around:
            self.pad, around = SamePad(kernel_size, stride), 0
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, around, groups=groups, bias=not norm)
        if norm:
            self.norm = nn.BatchNorm2d(out_channels)
        if act:
            self.act = ACTIVATIONS[act](inplace=True)


class SqueezeExcite(nn.Module):
    """Channel attention of MobileNetV3: scales (N, C, H, W) by a gate in [0, 1] per channel."""

    def __init__(self, channels: int, hidden_channels: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden_channels, 1)
        self.expand = nn.Conv2d(hidden_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)), inplace=True))
        return x * F.hardsigmoid(gate)


class InvertedResidual(nn.Module):
    """One :class:`~mmnetaug.archs.Block` row: expand - spatial - squeeze-and-excite - project."""

    def __init__(self, in_channels: int, row: Block, padding: str = 'symmetric'):
        super().__init__()
        self.row = row
        mid = row.mid or in_channels
        if row.mid:
            self.expand = ConvNormAct(in_channels, mid, 1, act=row.act)
        groups = mid if row.depthwise else 1
        self.spatial = ConvNormAct(mid, mid, row.kernel, row.stride, groups, row.act, padding=padding)
        if row.se:
            self.se = SqueezeExcite(mid, row.se)
        self.project = ConvNormAct(mid, row.out, 1)
        if row.shortcut:
            project = row.shortcut == 'project'
            self.shortcut = ConvNormAct(in_channels, row.out, 1, row.stride) if project else nn.Identity()
        if row.act_out:
            self.act_out = ACTIVATIONS[row.act_out](inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.after_expansion(x, self.expansion(x))

    def expansion(self, x: Tensor) -> Tensor:
        """The widest feature map of the block, (N, mid, H, W)."""
        return self.expand(x) if self.row.mid else x

    def after_expansion(self, x: Tensor, expanded: Tensor) -> Tensor:
        """The rest of the block, from its input and the expansion of that."""
        y = self.spatial(expanded)
        if self.row.se:
            y = self.se(y)
        y = self.project(y)
        if self.row.shortcut:
            y = y + self.shortcut(x)
        return self.act_out(y) if self.row.act_out else y


def build_row(in_channels: int, row: Row, padding: str = 'symmetric') -> tuple[nn.Module, int]:
    """The layer of one row and its output channels; ``padding`` as in ``Arch``."""
    if isinstance(row, Block):
        return InvertedResidual(in_channels, row, padding), row.out
    if isinstance(row, Conv):
        layer = ConvNormAct(in_channels, row.out, row.kernel, row.stride, act=row.act, norm=row.norm, padding=padding)
        return layer, row.out
    assert isinstance(row, Pool), row
    return (nn.MaxPool2d(3, 2, 1) if row.kind == 'max' else nn.AdaptiveAvgPool2d(1)), in_channels


class ElasticConv2d(nn.Conv2d):
    """Convolution by the leading ``width`` output and ``x.shape[1]`` input channels of its weight.

    A depthwise convolution gives as many channels as it gets.
    """

    width: int

    def forward(self, x: Tensor) -> Tensor:
        in_channels = x.shape[1]
        if self.groups > 1:
            weight, groups, width = self.weight[:in_channels], in_channels, in_channels
        else:
            weight, groups, width = self.weight[: self.width, :in_channels], 1, self.width
        bias = None if self.bias is None else self.bias[:width]
        # In the layout of the whole, so that the same kernel runs, with the same rounding, as in the export.
        channels_last = self.weight.stride(1) == 1 and self.weight.stride(3) == self.weight.shape[1]
        weight = weight.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the leading ``x.shape[1]`` entries; it updates just these statistics.

    With the momentum None they are means over batches since ``reset_running_stats``, as in PyTorch (``update_bn``).
    """

    def forward(self, x: Tensor) -> Tensor:
        part, momentum = slice(x.shape[1]), self.momentum or 0.0
        if self.training and self.momentum is None:
            self.num_batches_tracked.add_(1)
            momentum = 1 / int(self.num_batches_tracked)
        return F.batch_norm(
            x,
            self.running_mean[part],
            self.running_var[part],
            self.weight[part],
            self.bias[part],
            self.training,
            momentum,
            self.eps,
        )


class ElasticLinear(nn.Linear):
    """Linear layer by the leading ``x.shape[1]`` input features; it always gives all outputs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight[:, : x.shape[1]].contiguous(), self.bias)


ELASTIC = {nn.Conv2d: ElasticConv2d, nn.BatchNorm2d: ElasticBatchNorm2d, nn.Linear: ElasticLinear}
