"""Data sets, transforms, and what prepares data."""

from mmnetaug.datasets import transforms
from mmnetaug.datasets.batches import collate_detection
from mmnetaug.datasets.coco import COCODetection
from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.datasets.samplers import ResumableSampler
from mmnetaug.datasets.voc import VOCDetection
from mmnetaug.datasets.yolo import YOLODetection

__all__ = [
    'COCODetection',
    'ImageFolder',
    'ResumableSampler',
    'VOCDetection',
    'YOLODetection',
    'collate_detection',
    'transforms',
]
