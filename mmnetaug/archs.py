"""The networks, as rows: one row a layer. Everything else follows from these tables.

Widths in the tables are those of width multiplier 1; :func:`get_arch` scales them. A new network is one more
function that returns the rows of an :class:`Arch`, entered in ``FAMILIES`` (any multiplier) or ``NETWORKS`` (one size).
"""

import re
from dataclasses import dataclass
from functools import partial

from mmnetaug.errors import InputError


@dataclass(frozen=True)
class Conv:
    """A convolution with normalisation and activation. Without ``norm`` it has a bias instead."""

    out: int
    kernel: int = 1
    stride: int = 1
    act: str | None = 'relu6'
    norm: bool = True


@dataclass(frozen=True)
class Pool:
    """``'max'``: 3x3, stride 2. ``'avg'``: global average to 1x1."""

    kind: str


@dataclass(frozen=True)
class Block:
    """Expand 1x1 (absent where ``mid`` is None) - spatial convolution - squeeze-and-excite - project 1x1.

    ``mid`` and ``se`` (hidden width of squeeze-and-excite, 0 for none) are channel counts. ``shortcut`` is
    ``'identity'``, ``'project'`` (1x1 convolution) or None; ``act_out`` follows the sum of a ResNet block.
    """

    out: int
    mid: int | None = None
    kernel: int = 3
    stride: int = 1
    act: str = 'relu6'
    se: int = 0
    depthwise: bool = True
    shortcut: str | None = None
    act_out: str | None = None


Row = Conv | Pool | Block
ACTIVATIONS = ('relu', 'relu6', 'hswish')  # see mmnetaug.models.networks.layers
# How convolutions with a stride pad: all around, as in PyTorch, or right and bottom first, as in TensorFlow and Keras.
PADDINGS = ('symmetric', 'tf')


@dataclass(frozen=True)
class Arch:
    """One network: rows of the stem, of each stage and of the head. A linear classifier follows.

    The first block of a stage changes the resolution; it has no identity shortcut even where shapes allow one.
    ``input_size`` is the side in pixels at which the paper trains and counts MACs. ``padding`` is one of ``PADDINGS``,
    ``in_channels`` 3 for images in colour and 1 for gray ones.

    Raises:
        InputError: rows that are no network.
    """

    name: str
    input_size: int
    stem: tuple[Row, ...]
    stages: tuple[tuple[Row, ...], ...]
    head: tuple[Row, ...]
    padding: str = 'symmetric'
    in_channels: int = 3

    def __post_init__(self) -> None:
        channels = self.in_channels
        for row in (*self.stem, *(row for stage in self.stages for row in stage), *self.head):
            if isinstance(row, Pool):
                continue
            for name in (row.act, getattr(row, 'act_out', None)):
                if name not in (None, *ACTIVATIONS):
                    raise InputError(f'{self.name}: activation {name!r}: expected one of {", ".join(ACTIVATIONS)}')
            if getattr(row, 'shortcut', None) == 'identity' and (row.stride != 1 or row.out != channels):
                raise InputError(
                    f'{self.name}: an identity shortcut around {row}, which is given {channels} channels: expected '
                    "stride 1 and as many channels, or shortcut='project'"
                )
            channels = row.out


def round_to_8(channels: float, width: float = 1.0) -> int:
    """Nearest multiple of 8 of ``channels * width``, at least 8 and never below 90% of it (MobileNet's convention)."""
    channels *= width
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _by_expansion(in_channels: int, table, scale) -> tuple[tuple[Block, ...], ...]:
    """Stages from (channels, expansions, kernels, stride); the middle width is expansion * input width."""
    stages = []
    for channels, expansions, kernels, stride in table:
        out = scale(channels)
        inputs = [in_channels] + [out] * (len(kernels) - 1)
        stages.append(
            tuple(
                Block(out, width * expansion, kernel, 1 if i else stride, shortcut='identity' if i else None)
                for i, (width, expansion, kernel) in enumerate(zip(inputs, expansions, kernels))
            )
        )
        in_channels = out
    return tuple(stages)


def _mobilenetv2(width: float, head_block: int | None = None, last: int | None = None, size: int = 160):
    scale = partial(round_to_8, width=width)
    table = [
        (channels, [6] * blocks, [3] * blocks, stride)
        for channels, blocks, stride in [(24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2)]
    ]
    first = scale(16)
    return {
        'input_size': size,
        'stem': (Conv(scale(32), 3, 2), Block(first)),
        'stages': _by_expansion(first, table, scale),
        'head': (
            Block(head_block or scale(320), 6 * scale(160)),
            Conv(last or max(1280, scale(1280))),
            Pool('avg'),
        ),
    }


def _mobilenetv2_nano():
    """Not of the paper: two inverted blocks, for experiments in which a network must under-fit a small data set."""
    return {
        'input_size': 16,
        'stem': (Conv(16, 3, 2), Block(8)),
        'stages': _by_expansion(8, [(16, [3], [3], 2), (32, [3], [3], 2)], int),
        'head': (Conv(64), Pool('avg')),
    }


def _proxylessnas(width: float):
    scale = partial(round_to_8, width=width)
    table = [
        (32, [3, 3], [5, 3], 2),
        (40, [3, 3, 3, 3], [7, 3, 5, 5], 2),
        (80, [6, 3, 3, 3], [7, 5, 5, 5], 2),
        (96, [6, 3, 3, 3], [5, 5, 5, 5], 1),
        (192, [6, 6, 3, 3], [7, 7, 7, 7], 2),
    ]
    first = scale(16)
    return {
        'input_size': 160,
        'stem': (Conv(scale(32), 3, 2), Block(first)),
        'stages': _by_expansion(first, table, scale),
        'head': (Block(scale(320), 6 * scale(192), 7), Conv(max(1280, scale(1280))), Pool('avg')),
    }


def _mcunet():
    table = [
        (16, [3, 5, 5, 4], [7, 3, 7, 5], 2),
        (24, [5, 5, 5], [5, 5, 5], 2),
        (40, [5, 6, 4], [3, 7, 5], 2),
        (48, [5, 5, 5], [5, 7, 3], 1),
        (96, [6, 5, 4], [3, 7, 3], 2),
    ]
    return {
        'input_size': 176,
        'stem': (Conv(16, 3, 2), Block(8)),
        'stages': _by_expansion(8, table, int),
        'head': (Block(160, 480, 7), Pool('avg')),
    }


def _mobilenetv3(width: float):
    scale = partial(round_to_8, width=width)
    table = [
        # channels, mids, kernel, stride, activation, squeeze-and-excite
        (24, [64, 72], 3, 2, 'relu', False),
        (40, [72, 120, 120], 5, 2, 'relu', True),
        (80, [240, 200, 184, 184], 3, 2, 'hswish', False),
        (112, [480, 672], 3, 1, 'hswish', True),
        (160, [672, 960, 960], 5, 2, 'hswish', True),
    ]
    stages = tuple(
        tuple(
            Block(
                scale(channels),
                scale(mid),
                kernel,
                1 if i else stride,
                act,
                se=max(16, round_to_8(scale(mid) / 4)) if se else 0,
                shortcut='identity' if i else None,
            )
            for i, mid in enumerate(mids)
        )
        for channels, mids, kernel, stride, act, se in table
    )
    return {
        'input_size': 160,
        'stem': (Conv(scale(16), 3, 2, 'hswish'), Block(scale(16), act='relu', shortcut='identity')),
        'stages': stages,
        'head': (
            Conv(scale(960), act='hswish'),
            Pool('avg'),
            Conv(max(1280, scale(1280)), act='hswish', norm=False),
        ),
    }


def _resnet(width: float = 1.0, depths: tuple[int, ...] = (3, 4, 6, 3)):
    stages = tuple(
        tuple(
            Block(
                4 * mid,
                mid,
                stride=1 if i else stride,
                act='relu',
                depthwise=False,
                shortcut='identity' if i else 'project',
                act_out='relu',
            )
            for i in range(depth)
        )
        for mid, depth, stride in [
            (round_to_8(channels, width), depth, stride)
            for channels, depth, stride in zip((64, 128, 256, 512), depths, (1, 2, 2, 2))
        ]
    )
    return {
        'input_size': 224,
        'stem': (Conv(round_to_8(64, width), 7, 2, 'relu'), Pool('max')),
        'stages': stages,
        'head': (Pool('avg'),),
    }


# Families take any width multiplier: mobilenetv2_w0.35, mobilenetv3_w1.0, proxylessnas_w0.5 ...
FAMILIES = {
    'mobilenetv2': _mobilenetv2,
    'mobilenetv3': _mobilenetv3,
    'proxylessnas': _proxylessnas,
    'resnet14': partial(_resnet, depths=(1, 1, 1, 1)),  # ResNet50 with one bottleneck a stage
    'resnet50': _resnet,
}
NETWORKS = {
    'mobilenetv2_tiny': lambda: _mobilenetv2(0.35, head_block=112, last=448, size=144),
    'mobilenetv2_nano': _mobilenetv2_nano,
    'mcunet': _mcunet,
    'resnet50': _resnet,
}


def get_arch(name: str, padding: str = 'symmetric', in_channels: int = 3) -> Arch:
    """The rows of a network by its name.

    Args:
        name: a key of ``NETWORKS``, or ``FAMILY_wX`` with a family of ``FAMILIES`` and a width multiplier X.
        padding: 'symmetric', or 'tf' as in TensorFlow, see :class:`~mmnetaug.models.networks.layers.SamePad`.
        in_channels: of the images, 3 or 1.

    Raises:
        InputError: the name is unknown, its multiplier is not in (0, 8], or padding or channels are not as above.
    """
    if padding not in PADDINGS:
        raise InputError(f'padding {padding!r}: expected one of {", ".join(PADDINGS)}')
    if in_channels not in (1, 3):
        raise InputError(f'in_channels {in_channels!r}: expected 3 for images in colour, 1 for gray ones (--gray)')
    if name in NETWORKS:
        return Arch(name, **NETWORKS[name](), padding=padding, in_channels=in_channels)
    match = re.fullmatch(r'(.+)_w(\d+(?:\.\d+)?)', str(name))
    if match and match[1] in FAMILIES:
        width = float(match[2])
        if not 0 < width <= 8:
            raise InputError(
                f'width multiplier {match[2]} of {name!r} is out of range: expected more than 0 and at most 8, '
                f'for example {match[1]}_w0.35'
            )
        return Arch(name, **FAMILIES[match[1]](width), padding=padding, in_channels=in_channels)
    raise InputError(
        f'unknown architecture {name!r}: expected one of {", ".join(sorted(NETWORKS))}, or a family with a '
        f'width multiplier: {", ".join(f"{family}_w0.35" for family in sorted(FAMILIES))} (one of your own: '
        '--custom-imports MODULE)'
    )
