"""What a model costs and how good it is."""

from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.evaluation.memory import describe_memory, peak_memory
from mmnetaug.evaluation.metrics import COCOAveragePrecision, TopK, VOCAveragePrecision

__all__ = [
    'COCOAveragePrecision',
    'TopK',
    'VOCAveragePrecision',
    'count_macs',
    'count_params',
    'describe_memory',
    'peak_memory',
]
