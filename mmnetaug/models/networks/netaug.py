"""Network Augmentation (NetAug, arXiv 2110.08890, section 3): a tiny network as the leading block of a larger one.

The whole mechanism: a larger network is built from widened rows, its layers use as much of their weights as they
are told (``ELASTIC`` in layers.py), :meth:`NetAug.sample` tells them, and :meth:`NetAug.export` slices. Nothing
here knows which network it augments.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real

import torch
from torch import nn

from mmnetaug.archs import Arch, Block, Pool, Row, get_arch
from mmnetaug.errors import InputError
from mmnetaug.models.networks.layers import ELASTIC, ElasticConv2d, InvertedResidual
from mmnetaug.models.networks.network import Network


def rescale(
    arch: Arch, width_mult: Callable[[], float], expand_ratio: Callable[[], float], largest: Arch | None = None
) -> Arch:
    """``arch`` with other widths (NetAug paper, section 3.2).

    Args:
        arch: the base network.
        width_mult: called once for each width c; the width becomes round(c * width_mult()). A block with an
            identity shortcut keeps the width that arrives.
        expand_ratio: called once for each middle width; it becomes round(e * expand_ratio() * width in), with e
            the base network's expansion.
        largest: the supernet, whose ratios squeeze-and-excite follows; None for the supernet itself.
    """
    base_in = in_channels = arch.in_channels

    def rescale_row(row: Row, top: Row | None) -> Row:
        nonlocal base_in, in_channels
        if isinstance(row, Pool):
            return row
        changes = {'out': in_channels}
        if not (isinstance(row, Block) and row.shortcut == 'identity'):
            changes['out'] = round(row.out * width_mult())
        if isinstance(row, Block):
            mid = in_channels
            if row.mid:
                mid = changes['mid'] = round(row.mid / base_in * expand_ratio() * in_channels)
            if row.se:
                changes['se'] = _hidden_channels(mid, row, top)
        base_in, in_channels = row.out, changes['out']
        return replace(row, **changes)

    def rescale_rows(rows: tuple[Row, ...], tops: tuple[Row, ...] | None) -> tuple[Row, ...]:
        return tuple(map(rescale_row, rows, tops or [None] * len(rows)))

    tops = largest.stages if largest else [None] * len(arch.stages)
    return replace(
        arch,
        stem=rescale_rows(arch.stem, largest and largest.stem),
        stages=tuple(map(rescale_rows, arch.stages, tops)),
        head=rescale_rows(arch.head, largest and largest.head),
    )


LEAST_HIDDEN = 16  # channels of squeeze-and-excite


def _hidden_channels(mid: int, row: Block, top: Block | None) -> int:
    """Hidden channels of squeeze-and-excite beside ``mid`` middle channels, as in the published code.

    The supernet's (``top`` is None) keep the base network's ratio; those of a sample keep the supernet's, where halves
    are rounded up.
    """
    if top is None:
        return max(round(mid / (row.mid / row.se)), LEAST_HIDDEN)
    return max(math.floor(mid * top.se / top.mid + 0.5), LEAST_HIDDEN)


def conv_widths(arch: Arch) -> dict[str, int]:
    """Output channels of every convolution of ``arch`` that is not depthwise, by its name in the network."""
    sections = {
        'stem': arch.stem,
        **{f'stages.{i}': rows for i, rows in enumerate(arch.stages)},
        'head': arch.head,
    }
    widths = {}
    for section, rows in sections.items():
        for i, row in enumerate(rows):
            name = f'{section}.{i}'
            if isinstance(row, Pool):
                continue
            if not isinstance(row, Block):
                widths[f'{name}.conv'] = row.out
                continue
            if row.mid:
                widths[f'{name}.expand.conv'] = row.mid
            if not row.depthwise:
                widths[f'{name}.spatial.conv'] = row.mid
            if row.se:
                widths[f'{name}.se.reduce'] = row.se
                widths[f'{name}.se.expand'] = row.mid
            widths[f'{name}.project.conv'] = row.out
            if row.shortcut == 'project':
                widths[f'{name}.shortcut.conv'] = row.out
    return widths


def _tensors(layer: nn.Module, optimizer: torch.optim.Optimizer | None) -> Iterator[torch.Tensor]:
    """All tensors of a layer, and what an optimizer keeps of each parameter in its shape, such as momentum."""
    yield from layer.buffers()
    for parameter in layer.parameters():
        yield parameter
        if parameter.grad is not None:  # accumulated over steps
            yield parameter.grad
        for kept in optimizer.state[parameter].values() if optimizer and parameter in optimizer.state else ():
            if isinstance(kept, torch.Tensor) and kept.shape == parameter.shape:
                yield kept


def _multipliers(name: str, values: Iterable[float]) -> tuple[float, ...]:
    given = list(values) if isinstance(values, Iterable) else values
    if not isinstance(given, list) or not given or not all(isinstance(each, Real) and each >= 1 for each in given):
        raise InputError(
            f'{name} is {given}: expected at least one number and none below 1, because the tiny network is the '
            f'smallest sub-network; for example {name}=(1.0, 1.6, 2.2)'
        )
    return tuple(map(float, given))


class NetAug(Network):
    """The supernet: (N, 3, H, W) float -> (N, num_classes) logits of whichever sub-network it acts as.

    It starts as the tiny network. Its tensors have the tiny network's names, and each tiny tensor is the leading
    block of the large one. Convolutions keep PyTorch's default initialisation, since fan-out does not suit the
    very wide expansions.

    Args:
        arch: name of the tiny network, see :func:`~mmnetaug.models.networks.network.build_network`.
        num_classes: number of logits.
        width_mults: multipliers, at least 1, of the widths that blocks, stem and head give.
        expand_ratios: multipliers, at least 1, of the expansions inside blocks.
        padding, in_channels: as in :func:`~mmnetaug.models.networks.network.build_network`.

    Raises:
        InputError: unknown architecture, or a multiplier below 1.
    """

    def __init__(
        self,
        arch: str,
        num_classes: int = 1000,
        width_mults: Iterable[float] = (1.0, 1.8, 2.6),
        expand_ratios: Iterable[float] = (1.0, 1.6, 2.2, 2.8),
        padding: str = 'symmetric',
        in_channels: int = 3,
    ):
        self.base = get_arch(arch, padding, in_channels)
        self.width_mults = _multipliers('width_mults', width_mults)
        self.expand_ratios = _multipliers('expand_ratios', expand_ratios)
        widest, most = max(self.width_mults), max(self.expand_ratios)
        super().__init__(rescale(self.base, lambda: widest, lambda: most), num_classes)
        grouped = [m for m in self.modules() if isinstance(m, nn.Conv2d) and m.groups not in (1, m.in_channels)]
        if grouped:
            raise InputError(
                f'{arch} has a convolution of {grouped[0].groups} groups on {grouped[0].in_channels} channels: a '
                'supernet knows depthwise convolutions and those of one group'
            )
        self.max_widths = conv_widths(self.arch)
        # Found once: looking all of them up takes as long as a layer of a tiny network.
        self.elastic_convs = {name: self.get_submodule(name) for name in self.max_widths}
        for module in self.modules():
            # As torch's own lazy modules do: the layer stays what it is and only learns to use a part of itself.
            module.__class__ = ELASTIC.get(type(module), type(module))
        self.set_base()

    def _init_convs(self) -> None:
        """Keep PyTorch's default: Kaiming uniform with a = sqrt 5."""

    def sample(self, generator: torch.Generator, width: bool = True) -> dict[str, int]:
        """Act as one randomly drawn network; every layer's multiplier is drawn independently and uniformly.

        Args:
            generator: source of randomness on the CPU.
            width: draw widths; otherwise every width stays at its base value.

        Returns:
            What was drawn, for :meth:`set_widths`.
        """

        def draw(choices: Sequence[float]) -> float:
            return choices[int(torch.randint(len(choices), (), generator=generator))]

        width_mult = partial(draw, self.width_mults) if width else lambda: 1.0
        drawn = rescale(self.base, width_mult, partial(draw, self.expand_ratios), self.arch)
        widths = conv_widths(drawn)
        self.set_widths(widths)
        return widths

    def set_base(self) -> None:
        """Act as the tiny network."""
        self.set_widths(conv_widths(self.base))

    def set_widths(self, widths: dict[str, int]) -> None:
        """Act as the network with these widths.

        Args:
            widths: output channels of each convolution that is not depthwise, by module name, as
                :meth:`sample` returns them.

        Raises:
            InputError: a convolution is unknown or missing, or a width is outside 1 to the supernet's.
        """
        if widths.keys() != self.max_widths.keys():
            wrong = sorted(widths.keys() ^ self.max_widths.keys())
            raise InputError(
                f'widths do not fit {self.base.name}: {", ".join(wrong[:5])} missing or unknown; expected one width '
                f'for each of {len(self.max_widths)} convolutions, as NetAug.sample() returns them'
            )
        for name, width in widths.items():
            if not 1 <= width <= self.max_widths[name]:
                raise InputError(f'width {width} of {name}: expected 1 to {self.max_widths[name]}')
            self.elastic_convs[name].width = width

    @torch.no_grad()
    def sort_channels(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Put the most important middle channels of every block first (NetAug paper, section 3.2).

        Importance is the L1 norm of the weights that read the channel; so are the hidden channels of
        squeeze-and-excite sorted. The full-size network computes the same function before and after.

        Args:
            optimizer: what it keeps of a weight, such as momentum, moves with the weight.
        """

        def permute(layer: nn.Module, order: torch.Tensor, dim: int = 0) -> None:
            for tensor in _tensors(layer, optimizer):
                if tensor.ndim > dim:  # biases and normalisation have outputs alone
                    tensor.data.copy_(tensor.data.index_select(dim, order))

        def order_of(conv: ElasticConv2d) -> torch.Tensor:
            return conv.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)

        for block in self.modules():
            if not (isinstance(block, InvertedResidual) and block.row.mid):
                continue
            order = order_of(block.project.conv)
            permute(block.project.conv, order, dim=1)
            if block.row.se:
                permute(block.se.reduce, order, dim=1)
                permute(block.se.expand, order)
                hidden = order_of(block.se.expand)
                permute(block.se.expand, hidden, dim=1)
                permute(block.se.reduce, hidden)
            permute(block.spatial, order)
            if not block.row.depthwise:
                order = order_of(block.spatial.conv)
                permute(block.spatial.conv, order, dim=1)
            permute(block.expand, order)

    def export(self) -> Network:
        """The plain tiny network: the leading block of every tensor, of the same type and on the same device. Same
        outputs as the base, bit for bit."""
        tiny, state = Network(self.base, self.num_classes).to(self.classifier.weight), self.state_dict()
        tiny.load_state_dict(
            {name: state[name][tuple(map(slice, tensor.shape))] for name, tensor in tiny.state_dict().items()}
        )
        return tiny.train(self.training)
