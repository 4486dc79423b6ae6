"""What leaves PyTorch: a network with its normalisation, and what a program must know of it."""

from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmnetaug.deploy.decode import decode
from mmnetaug.deploy.heads import raw_maps

# What a network takes, by what results and artefacts say of themselves.
COSTS = ('macs', 'params', 'peak_memory', 'peak_layer', 'weight_bytes')


@dataclass
class Deployable:
    """A network to be written in another format.

    Attributes:
        network: (1, 3, H, W) float pixels from 0 to 255 -> raw maps of a detector, or (1, classes) logits.
        meta: plain data about it, which goes into the artefact: ``version``, ``task`` ('detection' or
            'classification'), ``classes``, ``size`` (width and height in pixels), ``channels`` ('RGB', 'BGR',
            or 'GRAY'), ``resize`` (how a photograph gets that size, in words; bilinear),
            ``outputs`` (names), ``head`` (see :func:`~mmnetaug.deploy.heads.describe_head`), and of a detector the
            ``config`` to test it with, and what it costs (``macs``, ``params`` ...).
    """

    network: nn.Module
    meta: dict[str, Any]

    @property
    def example(self) -> Tensor:
        """An input."""
        width, height = self.meta['size']
        return (
            torch.rand(1, number_of_channels(self.meta), height, width, generator=torch.Generator().manual_seed(0))
            * 255
        )


def number_of_channels(meta: dict[str, Any]) -> int:
    """Of the images that an artefact takes, by what it says of itself."""
    return 1 if meta.get('channels') == 'GRAY' else 3


class Raw(nn.Module):
    """(N, 3, H, W) float pixels from 0 to 255 -> what a network gives for normalised ones: the maps of a detector's
    head, see :func:`~mmnetaug.deploy.heads.raw_maps`, or (N, classes) logits as the only output."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer('scale', 1 / std.reshape(1, -1, 1, 1).float())
        self.register_buffer('shift', -mean.reshape(1, -1, 1, 1).float() * self.scale)
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        image = image * self.scale + self.shift
        if isinstance(self.network, SingleStageDetector):
            return tuple(raw_maps(self.network, image))
        return (self.network(image),)


class Decoder(nn.Module):
    """Raw maps of one image, (1, C, H, W) each -> (1, priors, 4) boxes and (1, classes, priors) scores, see
    :func:`~mmnetaug.deploy.decode.decode`."""

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__()
        self.head = head

    def forward(self, *maps: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = decode([level[0] for level in maps], self.head, torch)
        return boxes[None], scores.T[None]
