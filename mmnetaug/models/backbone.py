"""The networks as backbones for MMDetection."""

from collections.abc import Sequence
from typing import Optional

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnetaug.checkpoint import load_weights
from mmnetaug.errors import InputError
from mmnetaug.models.archs import Arch, Pool
from mmnetaug.models.network import build_network
from mmnetaug.registry import MODELS


def stride_indices(arch: Arch) -> tuple[int, int, int]:
    """The last feature maps at strides 8, 16 and 32, as ``out_indices`` of a :class:`TinyNet`.

    Raises:
        InputError: the network has none at one of these strides.
    """
    stride = 1
    for row in arch.stem:
        stride *= 2 if isinstance(row, Pool) else row.stride
    last = {}
    head = [(arch.head[0],)] if hasattr(arch.head[0], 'out') else []
    for index, stage in enumerate([*arch.stages, *head]):
        for row in stage:
            stride *= row.stride
        last[stride] = index
    if not {8, 16, 32} <= last.keys():
        raise InputError(
            f'{arch.name} has feature maps at strides {", ".join(map(str, last))}: a detector needs 8, 16 and 32, as '
            'mobilenetv2_tiny has them (--arch mobilenetv2_tiny)'
        )
    return last[8], last[16], last[32]


@MODELS.register_module()
class TinyNet(BaseModule):
    """Any of our networks as a feature extractor.

    Feature map i is the output of stage i; the one after the last stage is the output of the head's first layer
    (MobileNetV2's head block, say), for networks that have one before pooling. Layers that no requested feature
    needs are not built.

    Args:
        arch: see :func:`~mmnetaug.models.network.build_network`.
        out_indices: the feature maps to return, ascending.
        frozen_stages: -1 trains all; 0 freezes the stem, i freezes the stem and the first i stages.
        norm_eval: keep normalisation statistics fixed in training.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)`` loads a checkpoint, strictly: every tensor of the
            backbone must be there with the same shape. None keeps the random initialisation.

    Attributes:
        out_channels: channels of each requested feature map.

    Raises:
        InputError: unknown architecture, an index out of range, or an initialisation of another type.
    """

    def __init__(
        self,
        arch: str,
        out_indices: Sequence[int] = (3, 4),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: Optional[dict] = None,
    ):
        super().__init__(init_cfg)
        network = build_network(arch)
        rows = [stage[-1] for stage in network.arch.stages]
        first_head = network.arch.head[0]
        if hasattr(first_head, 'out'):
            rows.append(first_head)
        if not out_indices or list(out_indices) != sorted(set(out_indices) & set(range(len(rows)))):
            raise InputError(
                f'out_indices {tuple(out_indices)} of {arch}: expected ascending numbers from 0 to {len(rows) - 1}'
            )
        if not -1 <= frozen_stages <= len(network.stages):
            raise InputError(
                f'frozen_stages {frozen_stages} of {arch}: expected -1 (none) to {len(network.stages)} (all stages)'
            )
        if init_cfg and init_cfg.get('type') != 'Pretrained':
            raise InputError(
                f"init_cfg type {init_cfg.get('type')!r} of TinyNet: expected 'Pretrained', or no init_cfg to "
                'start from random weights'
            )
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(rows[i].out for i in out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stem = network.stem
        self.stages = network.stages[: out_indices[-1] + 1]
        self.head = network.head[: max(0, out_indices[-1] + 1 - len(network.stages))]
        self._freeze()

    def init_weights(self) -> None:
        """Load the checkpoint that ``init_cfg`` names.

        Raises:
            InputError: the file is missing or broken, or any tensor of the backbone is missing or differs.
        """
        # MMEngine's own loading is not strict: a checkpoint whose names match nothing would train from scratch.
        if self.init_cfg and not self.is_init:
            load_weights(self, self.init_cfg['checkpoint'], ignore=('stages.', 'head.', 'classifier.'))
        self._is_init = True

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> one (N, C_i, H_i, W_i) for each of ``out_indices``."""
        x = self.stem(x)
        features = []
        for i, layer in enumerate([*self.stages, *self.head]):
            x = layer(x)
            if i in self.out_indices:
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
