"""A network built from its rows."""

from torch import Tensor, nn

from mmnetaug.archs import Arch, Pool, Row, get_arch
from mmnetaug.errors import InputError, check_whole
from mmnetaug.models.networks.layers import build_row


def build_rows(in_channels: int, rows: tuple[Row, ...], padding: str) -> tuple[nn.Sequential, int]:
    """The layers of ``rows`` in sequence and the channels that the last one gives."""
    layers = []
    for row in rows:
        layer, in_channels = build_row(in_channels, row, padding)
        layers.append(layer)
    return nn.Sequential(*layers), in_channels


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
        if Pool('avg') not in arch.head:
            raise InputError(f"{arch.name}: its head has no Pool('avg'), behind which the classifier is")
        self.arch = arch
        self.num_classes = check_whole('num_classes', num_classes, 1)
        self.stem, channels = build_rows(arch.in_channels, arch.stem, arch.padding)
        self.stages = nn.Sequential()
        for rows in arch.stages:
            stage, channels = build_rows(channels, rows, arch.padding)
            self.stages.append(stage)
        self.head, channels = build_rows(channels, arch.head, arch.padding)
        self.dropout = nn.Dropout(0.0)
        self.classifier = nn.Linear(channels, num_classes)
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
        """(N, in_channels, H, W) float, normalised -> (N, num_classes) logits."""
        return self.classifier(self.dropout(self.head(self.stages(self.stem(x))).flatten(1)))


def build_network(arch: str, num_classes: int = 1000, padding: str = 'symmetric', in_channels: int = 3) -> Network:
    """Build a network by name, with fresh weights.

    Args:
        arch: ``mobilenetv2_tiny``, ``mobilenetv2_nano``, ``mcunet``, ``resnet50``, or ``mobilenetv2_wX``,
            ``mobilenetv3_wX``, ``proxylessnas_wX``, ``resnet14_wX``, ``resnet50_wX`` with a width multiplier X, such as
            ``mobilenetv2_w0.35``.
        num_classes: number of logits.
        padding: of convolutions with a stride: 'symmetric', or 'tf' (right and bottom first), for Keras' weights and
            less memory in TFLite.
        in_channels: of the images, 3, or 1 for gray ones.

    Returns:
        A module from (N, 3, H, W) float images to (N, num_classes) logits.

    Raises:
        InputError: unknown architecture, padding or channels, or a number of classes below 1.
    """
    return Network(get_arch(arch, padding, in_channels), num_classes)


def input_channels(network: nn.Module) -> int:
    """Channels of the images that a network takes: 3, or 1 for gray ones, as its first convolution has it.

    One with other channels reads what was made of the image, such as the 12 that YOLOX's Focus cuts it into.
    """
    first = next((part.in_channels for part in network.modules() if isinstance(part, nn.Conv2d)), 3)
    return first if first in (1, 3) else 3
