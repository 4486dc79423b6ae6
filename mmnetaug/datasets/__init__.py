"""Data sets, transforms and generators."""

from mmnetaug.datasets.detection import COCODetection, VOCDetection
from mmnetaug.datasets.image_folder import ImageFolder
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
    'ImageFolder',
    'LoadImageOrSkip',
    'PackClassification',
    'RandomResizedCrop',
    'ResizeCenterCrop',
    'VOCDetection',
]
