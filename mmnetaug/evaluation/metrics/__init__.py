"""Measures of quality."""

from mmnetaug.evaluation.metrics.accuracy import TopK
from mmnetaug.evaluation.metrics.coco import COCOAveragePrecision
from mmnetaug.evaluation.metrics.voc import VOCAveragePrecision

__all__ = ['COCOAveragePrecision', 'TopK', 'VOCAveragePrecision']
