"""Data sets, transforms and generators."""

from mmnetaug.datasets.detection import COCODetection, VOCDetection
from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.datasets.mixup import DetectionMixup, KeepWeights, PackWeightedDetInputs
from mmnetaug.datasets.transforms import (
    ColorJitter,
    LoadImageOrSkip,
    PackClassification,
    RandomResizedCrop,
    ResizeCenterCrop,
)

__all__ = [
    'COCODetection',
    'ColorJitter',
    'DetectionMixup',
    'ImageFolder',
    'KeepWeights',
    'LoadImageOrSkip',
    'PackClassification',
    'PackWeightedDetInputs',
    'RandomResizedCrop',
    'ResizeCenterCrop',
    'VOCDetection',
]
