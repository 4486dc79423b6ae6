"""Transforms that mmcv and mmdet do not have."""

from mmnetaug.datasets.transforms.autoaugment import autoaugment
from mmnetaug.datasets.transforms.classification import (
    AllBits,
    ColorJitter,
    Grayscale,
    LoadImageOrSkip,
    LoadRandomResizedCrop,
    LoadResizeCenterCrop,
    PackClassification,
    PadRightAndBottom,
    RandomResizedCrop,
    ResizeCenterCrop,
)
from mmnetaug.datasets.transforms.crop import MinIoURandomCrop
from mmnetaug.datasets.transforms.detection_mixup import DetectionMixup, KeepWeights, add_detection_mixup

__all__ = [
    'AllBits',
    'ColorJitter',
    'DetectionMixup',
    'Grayscale',
    'KeepWeights',
    'LoadImageOrSkip',
    'LoadRandomResizedCrop',
    'LoadResizeCenterCrop',
    'MinIoURandomCrop',
    'PackClassification',
    'PadRightAndBottom',
    'RandomResizedCrop',
    'ResizeCenterCrop',
    'add_detection_mixup',
    'autoaugment',
]
