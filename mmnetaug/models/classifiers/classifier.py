"""Image classification, plain or with NetAug, as a model for MMEngine's runner."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from mmnetaug.models.networks import NetAug, build_network
from mmnetaug.registry import MODELS


@MODELS.register_module()
class Classifier(BaseModel):
    """A network of ours under cross entropy; with ``netaug`` it trains the supernet.

    With NetAug a step's loss is base_weight * L(base) + alpha * L(one sampled augmented network) (NetAug paper,
    equation 2, where both weights are 1). :class:`~mmnetaug.engine.hooks.NetAugHook` draws the augmented network of
    each step. Outside training the model is the tiny network.

    Args:
        arch: see :func:`~mmnetaug.models.networks.build_network`.
        num_classes: number of classes.
        netaug: ``width_mults`` and ``expand_ratios`` of :class:`~mmnetaug.models.networks.NetAug`; None trains the
            plain network.
        alpha: weight of the augmented network's loss.
        base_weight: weight of the tiny network's own loss, with NetAug or without.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        data_preprocessor: see MMEngine's ``ImgDataPreprocessor``.
        padding, in_channels: as in :func:`~mmnetaug.models.networks.build_network`.

    Attributes:
        augments: each is called in training with inputs (N, 3, H, W) and targets (labels (N,) or probabilities
            (N, num_classes)) and returns them changed; hooks add to them.
        criterion: from logits (N, num_classes) and targets to a scalar loss; hooks may replace it.
    """

    def __init__(
        self,
        arch: str,
        num_classes: int,
        netaug: dict[str, Sequence[float]] | None = None,
        alpha: float = 1.0,
        base_weight: float = 1.0,
        label_smoothing: float = 0.1,
        data_preprocessor: dict | None = None,
        padding: str = 'symmetric',
        in_channels: int = 3,
    ):
        super().__init__(data_preprocessor)
        inputs = {'padding': padding, 'in_channels': in_channels}
        build = partial(NetAug, **netaug) if netaug else build_network
        network = build(arch, num_classes, **inputs)
        # 1.4 to 1.7 times faster than the default layout on a CPU, and what tensor cores want on a GPU.
        self.network = network.to(memory_format=torch.channels_last)
        self.alpha, self.base_weight = alpha, base_weight
        self.augments: list[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = []
        self.criterion: Callable[[Tensor, Tensor], Tensor] = partial(F.cross_entropy, label_smoothing=label_smoothing)
        self.augmented: dict[str, int] | None = None

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor]:
        """Classify a batch.

        Args:
            inputs: (N, 3, H, W) float, normalised.
            data_samples: (N,) labels; not needed in mode 'tensor'.
            mode: 'tensor' gives (N, num_classes) logits; 'loss' a dict of scalars, of which those named loss_* are
                summed by MMEngine; 'predict' a list of one dict an image with its ``logits`` and ``label``.
        """
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if mode == 'loss':
            return self._losses(inputs, data_samples)
        logits = self.network(inputs)
        if mode == 'tensor':
            return logits
        return [{'logits': row, 'label': label} for row, label in zip(logits, data_samples)]

    def _losses(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        for augment in self.augments:
            inputs, targets = augment(inputs, targets)
        logits = self.network(inputs)
        labels = targets if targets.ndim == 1 else targets.argmax(1)
        result = {
            'loss_base': self.base_weight * self.criterion(logits, targets),
            'train_top1': 100 * (logits.argmax(1) == labels).float().mean(),
        }
        if self.augmented:
            self.network.set_widths(self.augmented)
            result['loss_augmented'] = self.alpha * self.criterion(self.network(inputs), targets)
            self.network.set_base()
        return result
