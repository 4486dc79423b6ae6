"""Data sets, transforms and generators."""

from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.datasets.transforms import (
    ColorJitter,
    LoadImageOrSkip,
    PackClassification,
    RandomResizedCrop,
    ResizeCenterCrop,
)

__all__ = [
    'ColorJitter',
    'ImageFolder',
    'LoadImageOrSkip',
    'PackClassification',
    'RandomResizedCrop',
    'ResizeCenterCrop',
]
