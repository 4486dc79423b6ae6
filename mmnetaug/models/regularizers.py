"""Mixup and DropBlock, which help large networks and mostly hurt tiny ones, and distillation."""

import torch
import torch.nn.functional as F
from mmdet.models.layers import DropBlock as _DropBlock
from torch import Tensor, nn

from mmnetaug.models.networks.layers import ConvNormAct, InvertedResidual
from mmnetaug.models.networks.network import Network


def mixup(inputs: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Convex combinations of the images of a batch and of their labels (mixup, arXiv 1710.09412, equation 1).

    One lambda of Beta(alpha, alpha) serves the batch; each image is mixed with that of a random permutation.

    Args:
        inputs: (N, 3, H, W) float.
        targets: (N, num_classes) probabilities.
        alpha: positive; the smaller, the closer is lambda to 0 or 1.

    Returns:
        ``inputs`` and ``targets``, mixed.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(inputs), device=inputs.device)
    return tuple(share * tensor + (1 - share) * tensor[order] for tensor in (inputs, targets))


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Divergence from a teacher's softened probabilities (Hinton et al., arXiv 1503.02531, section 2).

    Args:
        logits: (N, num_classes) of the student.
        teacher_logits: the same of the teacher.
        temperature: both are divided by it; the loss is multiplied by its square, so that the size of gradients does
            not depend on it.

    Returns:
        The mean over images of the Kullback-Leibler divergence in nats, times temperature squared.
    """
    student, teacher = (F.log_softmax(each / temperature, dim=1) for each in (logits, teacher_logits))
    return F.kl_div(student, teacher, reduction='batchmean', log_target=True) * temperature**2


class DropBlock(_DropBlock):
    """mmdet's layer; on maps smaller than the block it drops the largest odd block that fits."""

    def __init__(self, drop_prob: float, block_size: int):
        super().__init__(drop_prob, block_size)
        self.largest_block = block_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape. In training blocks are zero and the rest is scaled to keep the mean."""
        side = min(x.shape[-2:])
        self.block_size = min(self.largest_block, side - 1 + side % 2)
        return super().forward(x).to(x.dtype)  # mmdet's mask is in full precision


def add_dropblock(network: Network, drop_prob: float, block_size: int = 7) -> None:
    """Put DropBlock where its paper has it in ResNet50 (arXiv 1810.12890, section 4.1).

    That is in the blocks of the last two stages, behind every convolution with its activation and on the shortcuts;
    in the last but one stage with a quarter of the rate, as in the authors' code.
    :class:`~mmnetaug.engine.hooks.DropBlockHook` raises the rate from 0.

    Args:
        network: changed in place; no parameter is added.
        drop_prob: share of activations that the last stage drops at the end of training.
        block_size: side of the dropped squares in pixels of the feature map; odd.
    """
    for stage, rate in zip(network.stages[-2:], (drop_prob / 4, drop_prob)):
        for block in stage.modules():
            if isinstance(block, ConvNormAct):
                block.add_module('dropblock', DropBlock(rate, block_size))
            elif isinstance(block, InvertedResidual) and block.row.shortcut == 'identity':
                block.shortcut = DropBlock(rate, block_size)


def dropblocks(module: nn.Module) -> list[DropBlock]:
    """All such layers of a module."""
    return [layer for layer in module.modules() if isinstance(layer, DropBlock)]
