"""Image classification, plain or with NetAug, as a model for MMEngine's runner."""

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from mmnetaug.models.netaug import NetAug
from mmnetaug.models.network import build_network, load_network
from mmnetaug.models.regularizers import add_dropblock, distillation_loss, mixup
from mmnetaug.registry import MODELS


@MODELS.register_module()
class Classifier(BaseModel):
    """A network of ours under cross entropy; with ``netaug`` it trains the supernet.

    With NetAug a step's loss is L(base) + alpha * L(one sampled augmented network) (NetAug paper, equation 2).
    :class:`~mmnetaug.engine.hooks.NetAugHook` draws the augmented network of each step. Outside training the model
    is the tiny network.

    Args:
        arch: see :func:`~mmnetaug.models.network.build_network`.
        num_classes: number of classes.
        netaug: ``width_mults`` and ``expand_ratios`` of :class:`~mmnetaug.models.netaug.NetAug`; None trains the
            plain network.
        alpha: weight of the augmented network's loss.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        mixup: alpha of :func:`~mmnetaug.models.regularizers.mixup`; 0 for none.
        dropblock: rate of :func:`~mmnetaug.models.regularizers.add_dropblock`; 0 for none.
        dropout: share of the classifier's inputs that are dropped.
        distill: distillation from a teacher: ``checkpoint`` and ``arch`` of :func:`load_network`; ``temperature``;
            ``weight`` of the distillation loss, which leaves 1 - weight to cross entropy. None for none.
        data_preprocessor: see MMEngine's ``ImgDataPreprocessor``.
    """

    def __init__(
        self,
        arch: str,
        num_classes: int,
        netaug: Optional[dict[str, Sequence[float]]] = None,
        alpha: float = 1.0,
        label_smoothing: float = 0.1,
        mixup: float = 0.0,
        dropblock: float = 0.0,
        dropout: float = 0.0,
        distill: Optional[dict[str, Any]] = None,
        data_preprocessor: Optional[dict] = None,
    ):
        super().__init__(data_preprocessor)
        network = NetAug(arch, num_classes, **netaug) if netaug else build_network(arch, num_classes)
        network.dropout.p = dropout
        if dropblock:
            add_dropblock(network, dropblock)
        # 1.4 to 1.7 times faster than the default layout on a CPU, and what tensor cores want on a GPU.
        self.network = network.to(memory_format=torch.channels_last)
        self.alpha = alpha
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.distill = distill
        if distill:
            teacher = load_network(distill['checkpoint'], num_classes, distill.get('arch'))
            # Not a part of this model: it is neither trained nor saved.
            object.__setattr__(self, 'teacher', teacher.eval().requires_grad_(False))
        self.augmented: Optional[dict[str, int]] = None

    def forward(
        self, inputs: Tensor, data_samples: Optional[Tensor] = None, mode: str = 'tensor'
    ) -> Union[Tensor, dict[str, Tensor]]:
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

    def _losses(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        targets = foremost = labels
        if self.mixup:
            inputs, targets = mixup(inputs, F.one_hot(labels, self.network.num_classes).float(), self.mixup)
            foremost = targets.argmax(1)
        teacher_logits = None
        if self.distill:
            with torch.no_grad():
                teacher_logits = self.teacher.to(inputs.device)(inputs)
        logits = self.network(inputs)
        result = {
            'loss_base': self._loss(logits, targets, teacher_logits),
            'train_top1': 100 * (logits.argmax(1) == foremost).float().mean(),
        }
        if self.augmented:
            self.network.set_widths(self.augmented)
            result['loss_augmented'] = self.alpha * self._loss(self.network(inputs), targets, teacher_logits)
            self.network.set_base()
        return result

    def _loss(self, logits: Tensor, targets: Tensor, teacher_logits: Optional[Tensor]) -> Tensor:
        """Of labels (N,) or probabilities (N, num_classes), and of the teacher where there is one."""
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if teacher_logits is None:
            return loss
        weight = self.distill['weight']
        distillation = distillation_loss(logits, teacher_logits, self.distill['temperature'])
        return (1 - weight) * loss + weight * distillation
