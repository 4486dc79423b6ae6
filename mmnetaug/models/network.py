"""A network built from its rows."""

from pathlib import Path
from typing import Optional, Union

from torch import Tensor, nn

from mmnetaug.checkpoint import load_weights, read_checkpoint
from mmnetaug.errors import InputError
from mmnetaug.models.archs import Arch, Row, get_arch
from mmnetaug.models.layers import build_row


def build_rows(width_in: int, rows: tuple[Row, ...]) -> tuple[nn.Sequential, int]:
    """The layers of ``rows`` in sequence and the width of the last."""
    layers = []
    for row in rows:
        layer, width_in = build_row(width_in, row)
        layers.append(layer)
    return nn.Sequential(*layers), width_in


class Network(nn.Module):
    """An image classifier: stem, stages, head, linear classifier.

    Convolutions start from He normal, fan-out; the classifier from a truncated normal, std 0.02 (NetAug paper,
    appendix; the published baselines do the same).

    Args:
        arch: the rows of the network.
        num_classes: number of logits.
    """

    def __init__(self, arch: Arch, num_classes: int):
        super().__init__()
        if not isinstance(num_classes, int) or num_classes < 1:
            raise InputError(f'num_classes is {num_classes!r}: expected a whole number of at least 1')
        self.arch = arch
        self.num_classes = num_classes
        self.stem, width = build_rows(3, arch.stem)
        self.stages = nn.Sequential()
        for rows in arch.stages:
            stage, width = build_rows(width, rows)
            self.stages.append(stage)
        self.head, width = build_rows(width, arch.head)
        self.dropout = nn.Dropout(0.0)
        self.classifier = nn.Linear(width, num_classes)
        self._init_convs()
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def _init_convs(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float, normalised -> (N, num_classes) logits."""
        return self.classifier(self.dropout(self.head(self.stages(self.stem(x))).flatten(1)))


def build_network(arch: str, num_classes: int = 1000) -> Network:
    """Build a network by name, with fresh weights.

    Args:
        arch: ``mobilenetv2_tiny``, ``mobilenetv2_nano``, ``mcunet``, ``resnet50``, or ``mobilenetv2_wX``,
            ``mobilenetv3_wX``, ``proxylessnas_wX``, ``resnet14_wX``, ``resnet50_wX`` with a width multiplier X, such as
            ``mobilenetv2_w0.35``.
        num_classes: number of logits.

    Returns:
        A module from (N, 3, H, W) float images to (N, num_classes) logits.

    Raises:
        InputError: unknown architecture, or a number of classes below 1.
    """
    return Network(get_arch(arch), num_classes)


def load_network(path: Union[str, Path], num_classes: int, arch: Optional[str] = None) -> Network:
    """A trained network from its checkpoint.

    Args:
        path: as in :func:`~mmnetaug.checkpoint.load_weights`.
        num_classes: how many logits it must give.
        arch: its name; None where the checkpoint tells it, as our ``export.pth`` does.

    Raises:
        InputError: the file cannot be read or is of another network, or its architecture is not known.
    """
    arch = arch or read_checkpoint(path).get('meta', {}).get('arch')
    if not arch:
        raise InputError(
            f'{path} does not say of which network it is: expected an export.pth of ours, or the name of the network '
            'beside it (of a teacher: --cfg-options distill.arch=resnet50)'
        )
    network = build_network(arch, num_classes)
    load_weights(network, path)
    return network
