"""What a model costs and how good it is."""

from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.evaluation.metrics import COCOAveragePrecision, TopK

__all__ = ['COCOAveragePrecision', 'TopK', 'count_macs', 'count_params']
