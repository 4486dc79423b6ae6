"""What leaves PyTorch: a network with its normalisation, and what a program must know of it."""

from collections.abc import Sequence
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


class Normalised(nn.Module):
    """(N, 3, H, W) float pixels from 0 to 255 -> outputs of a network for normalised ones."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer('scale', 1 / std.reshape(1, -1, 1, 1).float())
        self.register_buffer('shift', -mean.reshape(1, -1, 1, 1).float() * self.scale)

    def forward(self, image: Tensor) -> Any:
        return self.run(image * self.scale + self.shift)

    def run(self, image: Tensor) -> Any:
        raise NotImplementedError


class RawDetector(Normalised):
    """A detector up to the maps of its head, see :func:`~mmnetaug.deploy.heads.raw_maps`."""

    def __init__(self, detector: SingleStageDetector) -> None:
        its = detector.data_preprocessor  # which has neither where it does not normalise
        super().__init__(getattr(its, 'mean', torch.zeros(1)), getattr(its, 'std', torch.ones(1)))
        self.detector = detector

    def run(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(raw_maps(self.detector, image))


class RawClassifier(Normalised):
    """A classifier; its only output is (N, classes) logits."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(torch.tensor(mean), torch.tensor(std))
        self.network = network

    def run(self, image: Tensor) -> tuple[Tensor, ...]:
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
