"""The networks as backbones for MMDetection."""

from collections.abc import Sequence
from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnetaug.archs import Arch, Block, Pool
from mmnetaug.errors import InputError
from mmnetaug.models.networks.network import build_network
from mmnetaug.registry import MODELS


class FeatureMap(NamedTuple):
    """A feature map that a network can give.

    Attributes:
        index: of the stage; the first layer of the head comes after the last stage.
        channels: how many it has.
        expansion: whether it is the expansion inside the first block of that stage, instead of the stage's output.
    """

    index: int
    channels: int
    expansion: bool = False


def feature_maps(arch: Arch) -> dict[str, FeatureMap]:
    """The last feature map at each stride, ``stride8`` for example, and the widest one at it, ``stride16_expansion``.

    The widest map at a stride is the expansion in the block that leads to the next one (MobileNetV2 paper, section
    6.2: where SSDLite starts). A network whose first layer of the head is a block or a convolution gives that as its
    last map.
    """
    stride = 1
    for row in arch.stem:
        stride *= 2 if isinstance(row, Pool) else row.stride
    maps = {}
    for index, rows in enumerate(stages_with_maps(arch)):
        first = rows[0]
        if first.stride > 1 and isinstance(first, Block) and first.mid:
            maps[f'stride{stride}_expansion'] = FeatureMap(index, first.mid, expansion=True)
        for row in rows:
            stride *= row.stride
        maps[f'stride{stride}'] = FeatureMap(index, rows[-1].out)
    return maps


def stages_with_maps(arch: Arch) -> list[tuple]:
    """The rows of each stage, and the first of the head where it gives a feature map."""
    head = arch.head[0]
    return [*arch.stages, *([] if isinstance(head, Pool) else [(head,)])]


@MODELS.register_module()
class TinyNet(BaseModule):
    """Any of our networks as a feature extractor.

    Layers that no requested feature map needs are not built.

    Args:
        arch: see :func:`~mmnetaug.models.networks.network.build_network`.
        out_features: what to return, from high to low resolution: names of :func:`feature_maps` (``'stride16'``,
            ``'stride16_expansion'``), or numbers of stages, where the number after the last stage is the head's first
            layer (MobileNetV2's head block, say).
        out_indices: the same, under the name that MMDetection's backbones have for numbers.
        frozen_stages: -1 trains all; 0 freezes the stem, i freezes the stem and the first i stages.
        norm_eval: keep normalisation statistics fixed in training.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)`` loads a checkpoint, strictly: every tensor of the
            backbone must be there with the same shape. None keeps the random initialisation.
        padding, in_channels: as in :func:`~mmnetaug.models.networks.network.build_network`.

    Attributes:
        arch: its name.
        padding, in_channels: see above.
        out_channels: channels of each requested feature map.

    Raises:
        InputError: unknown architecture, a feature map that it does not have, none at all, or an initialisation of
            another type.
    """

    def __init__(
        self,
        arch: str,
        out_features: Sequence[str | int] | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
        padding: str = 'symmetric',
        in_channels: int = 3,
    ):
        if init_cfg and init_cfg.get('type') not in ('Pretrained', 'mmnetaug.Pretrained'):
            raise InputError(
                f"init_cfg type {init_cfg.get('type')!r} of TinyNet: expected 'Pretrained', or no init_cfg to "
                'start from random weights'
            )
        # MMEngine's own loading is not strict: a checkpoint whose names match nothing would train from scratch.
        super().__init__(init_cfg and {**init_cfg, 'type': 'mmnetaug.Pretrained'})
        network = build_network(arch, padding=padding, in_channels=in_channels)
        self.arch = network.arch.name
        self.padding, self.in_channels = padding, in_channels
        given = [names for names in (out_features, out_indices) if names is not None]
        if len(given) > 1 or [] in map(list, given):
            raise InputError(
                f'out_features {out_features} and out_indices {out_indices} of {arch}: expected one of the two, with '
                "at least one feature map, such as out_features=('stride16', 'stride32')"
            )
        wanted = given[0] if given else ('stride8', 'stride16', 'stride32')
        self.maps = _select(network.arch, wanted)
        last = self.maps[-1].index
        if not -1 <= frozen_stages <= len(network.stages):
            raise InputError(
                f'frozen_stages {frozen_stages} of {arch}: expected -1 (none) to {len(network.stages)} (all stages)'
            )
        self.out_channels = tuple(feature.channels for feature in self.maps)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stem = network.stem
        self.stages = network.stages[: last + 1]
        self.head = network.head[: max(0, last + 1 - len(network.stages))]
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> one (N, C_i, H_i, W_i) for each requested feature map."""
        x = self.stem(x)
        features = []
        expansions = [feature.index for feature in self.maps if feature.expansion]
        outputs = [feature.index for feature in self.maps if not feature.expansion]
        for index, layer in enumerate([*self.stages, *([block] for block in self.head)]):
            for number, block in enumerate(layer):
                if number == 0 and index in expansions:
                    expanded = block.expansion(x)
                    features.append(expanded)
                    x = block.after_expansion(x, expanded)
                else:
                    x = block(x)
            if index in outputs:
                features.append(x)
        return tuple(features)

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        for part in [self.stem, *self.stages[: self.frozen_stages]]:
            part.eval()
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> nn.Module:
        """As usual, but frozen stages and, with ``norm_eval``, normalisation stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _select(arch: Arch, wanted: Sequence[str | int]) -> list[FeatureMap]:
    maps = feature_maps(arch)
    numbered = {index: FeatureMap(index, rows[-1].out) for index, rows in enumerate(stages_with_maps(arch))}
    known = {**maps, **numbered}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(
            f'{arch.name} has no feature map {", ".join(map(str, unknown))}: it has {", ".join(maps)}, and numbers of '
            f'stages from 0 to {len(numbered) - 1}. Detectors for strides 8, 16 and 32 fit mobilenetv2_tiny '
            '(--arch mobilenetv2_tiny)'
        )
    selected = [known[name] for name in wanted]
    order = [(feature.index, not feature.expansion) for feature in selected]
    if order != sorted(set(order)):
        raise InputError(f'feature maps {", ".join(map(str, wanted))} of {arch.name}: expected each once, ascending')
    return selected
