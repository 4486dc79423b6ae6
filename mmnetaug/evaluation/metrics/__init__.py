"""Measures of quality."""

from mmnetaug.evaluation.metrics.accuracy import TopK
from mmnetaug.evaluation.metrics.coco import COCOAveragePrecision

__all__ = ['COCOAveragePrecision', 'TopK']
