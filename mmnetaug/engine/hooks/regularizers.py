"""Regularisers of pretraining, each switched on by a hook: what helps large networks and mostly hurts tiny ones.

A hook has one base config, ``configs/_base_/regularizers/NAME.py``, from which ``mmnetaug pretrain`` has its
option ``--NAME``; nothing else knows it. The first argument of a hook is the value that the option may be given.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.registry import TRANSFORMS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmnetaug.checkpoint import load_network, read_checkpoint, trained_normalisation
from mmnetaug.datasets.samplers import data_sets
from mmnetaug.datasets.transforms import ColorJitter, Grayscale, autoaugment
from mmnetaug.engine.runner import bare_model
from mmnetaug.errors import InputError
from mmnetaug.models.regularizers import add_dropblock, distillation_loss, dropblocks, mixup
from mmnetaug.registry import HOOKS


def check_strength(name: str, value: float, below: float = 1) -> None:
    """Raise :class:`InputError` unless ``value`` is a number from 0 to ``below``, which itself is excluded."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
        expected = 'of at least 0 (0.2, say)' if below == math.inf else 'from 0 to below 1 (0.1, say)'
        raise InputError(f'{name} is {value!r}: expected a number {expected}, where 0 switches it off')


def _classifier(runner: Runner, hook: Hook) -> nn.Module:
    model = bare_model(runner)
    if not hasattr(model, 'network'):
        raise InputError(
            f'{type(hook).__name__} is for pretraining, and this trains a {type(model).__name__}: leave it out of '
            'custom_hooks'
        )
    return model


@HOOKS.register_module()
class MixupHook(Hook):
    """Mix images and labels of a batch (arXiv 1710.09412).

    Args:
        alpha: of :func:`~mmnetaug.models.regularizers.mixup`; 0 for none.
    """

    def __init__(self, alpha: float) -> None:
        check_strength('mixup', alpha, math.inf)
        self.alpha = alpha

    def before_train(self, runner: Runner) -> None:
        model = _classifier(runner, self)
        if self.alpha:
            model.augments.append(partial(self._mix, num_classes=model.network.num_classes))

    def _mix(self, inputs: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        return mixup(inputs, F.one_hot(labels, num_classes).float(), self.alpha)


@HOOKS.register_module()
class DropoutHook(Hook):
    """Drop inputs of the classifier.

    Args:
        rate: the share of them.
    """

    def __init__(self, rate: float) -> None:
        check_strength('dropout', rate)
        self.rate = rate

    def before_train(self, runner: Runner) -> None:
        _classifier(runner, self).network.dropout.p = self.rate


@HOOKS.register_module()
class DropBlockHook(Hook):
    """Drop blocks of the last two stages' feature maps (arXiv 1810.12890).

    The rate rises linearly over training, to its full value at the last step (section 3 there). mmdet's layer counts
    its own calls, which are neither steps nor kept in a checkpoint: it is told the step.

    Args:
        rate: of :func:`~mmnetaug.models.regularizers.add_dropblock`; 0 for none.
    """

    def __init__(self, rate: float) -> None:
        check_strength('dropblock', rate)
        self.rate = rate

    def before_train(self, runner: Runner) -> None:
        network = _classifier(runner, self).network
        if self.rate:
            add_dropblock(network, self.rate)
        self.layers = dropblocks(network)
        for layer in self.layers:
            layer.warmup_iters = runner.max_iters

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        for layer in self.layers:
            layer.iter_cnt = runner.iter


@HOOKS.register_module()
class AutoAugmentHook(Hook):
    """AutoAugment's policy for ImageNet (arXiv 1805.09501, table 9) before images are packed, for colour jitter."""

    def before_train(self, runner: Runner) -> None:
        for dataset in data_sets(runner.train_dataloader.dataset):
            transforms = [each for each in dataset.pipeline.transforms if not isinstance(each, ColorJitter)]
            last = next((place for place, each in enumerate(transforms) if isinstance(each, Grayscale)), -1)
            dataset.pipeline.transforms = [*transforms[:last], TRANSFORMS.build(autoaugment()), *transforms[last:]]


def check_teacher(checkpoint: str | Path, classes: Sequence[str]) -> None:
    """Raise :class:`InputError` for a checkpoint that cannot be read, or one of other classes than the data's."""
    theirs = read_checkpoint(checkpoint).get('meta', {}).get('classes')
    theirs = theirs if isinstance(theirs, (list, tuple)) else []
    if theirs and list(map(str, theirs)) != list(classes):
        different = sorted(set(map(str, theirs)) ^ set(classes))
        raise InputError(
            f'the teacher {checkpoint} knows {len(theirs)} classes and the data has {len(classes)} '
            f'(in only one of them: {", ".join(different[:5])}): expected the same; pretrain a teacher on this data'
        )


def renormaliser(preprocessor: nn.Module, theirs: dict[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """What turns images (N, C, H, W) as a ``data_preprocessor`` normalises them into those of a
    :func:`~mmnetaug.checkpoint.trained_normalisation`; None where they are the same."""
    if not theirs:
        return None
    tensor = partial(torch.tensor, device=preprocessor.device)  # once, not in each step
    mean, std = (tensor(theirs[name])[:, None, None] for name in ('mean', 'std'))
    our_mean, our_std = (getattr(preprocessor, n, tensor(v)) for n, v in (('mean', 0.0), ('std', 1.0)))
    turns = theirs['bgr_to_rgb'] != preprocessor._channel_conversion
    if turns and our_mean.ndim:
        our_mean, our_std = our_mean.flip(0), our_std.flip(0)
    if not turns and (our_mean == mean).all() and (our_std == std).all():
        return None
    factor, summand = our_std / std, (our_mean - mean) / std

    def renormalise(inputs: Tensor) -> Tensor:
        return (inputs.flip(1) if turns else inputs) * factor + summand

    return renormalise


@HOOKS.register_module()
class DistillationHook(Hook):
    """Learn from a teacher as well (arXiv 1503.02531).

    Args:
        checkpoint: of the teacher, as in :func:`~mmnetaug.checkpoint.load_network`.
        arch: its network; None where the checkpoint tells it.
        temperature: of :func:`~mmnetaug.models.regularizers.distillation_loss`.
        weight: of that loss; cross entropy has the rest up to 1.

    Raises:
        InputError: a temperature or a weight out of range; in training also a checkpoint that cannot be read, or one
            with other classes than the data.
    """

    priority = 'LOW'  # the teacher sees what other hooks have made of a batch

    def __init__(self, checkpoint: str, arch: str | None = None, temperature: float = 4.0, weight: float = 0.5) -> None:
        numbers = all(type(value) in (int, float) for value in (temperature, weight))
        if not (numbers and temperature > 0 and 0 < weight <= 1):
            raise InputError(
                f'distillation has temperature {temperature!r} and weight {weight!r}: expected a temperature above 0 '
                'and a weight from above 0 to 1'
            )
        self.checkpoint, self.arch, self.temperature, self.weight = checkpoint, arch, temperature, weight

    def before_train(self, runner: Runner) -> None:
        model = _classifier(runner, self)
        classes = runner.train_dataloader.dataset.metainfo['classes']
        check_teacher(self.checkpoint, classes)
        device = next(model.parameters()).device
        teacher = load_network(self.checkpoint, len(classes), self.arch, model.network.arch.in_channels)
        self.teacher = teacher.eval().requires_grad_(False).to(device)
        theirs = trained_normalisation(read_checkpoint(self.checkpoint), model.network.arch.in_channels)
        self.renormalise = renormaliser(model.data_preprocessor, theirs)
        self.criterion = model.criterion
        model.augments.append(self._ask)
        model.criterion = self._loss

    @torch.no_grad()
    def _ask(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.logits = self.teacher(self.renormalise(inputs) if self.renormalise else inputs)
        return inputs, targets

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        distillation = distillation_loss(logits, self.logits, self.temperature)
        return (1 - self.weight) * self.criterion(logits, targets) + self.weight * distillation
