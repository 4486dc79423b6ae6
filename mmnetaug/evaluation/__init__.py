"""What a model costs and how good it is."""

from mmnetaug.evaluation.accuracy import TopK
from mmnetaug.evaluation.coco import COCOAveragePrecision
from mmnetaug.evaluation.complexity import count_macs, count_params

__all__ = ['COCOAveragePrecision', 'TopK', 'count_macs', 'count_params']
