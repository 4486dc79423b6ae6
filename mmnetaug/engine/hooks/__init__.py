"""Hooks for MMEngine's runner."""

from mmnetaug.engine.hooks.detection_mixup_hook import DetectionMixupHook
from mmnetaug.engine.hooks.export_hook import ExportHook
from mmnetaug.engine.hooks.memory_hook import KeepFreedMemoryHook
from mmnetaug.engine.hooks.netaug_hook import NetAugHook, estimate_norm_statistics
from mmnetaug.engine.hooks.regularizers import (
    AutoAugmentHook,
    DistillationHook,
    DropBlockHook,
    DropoutHook,
    MixupHook,
)
from mmnetaug.engine.hooks.seed_hook import EpochSeedHook
from mmnetaug.engine.hooks.train_accuracy_hook import TrainAccuracyHook

__all__ = [
    'AutoAugmentHook',
    'DetectionMixupHook',
    'DistillationHook',
    'DropBlockHook',
    'DropoutHook',
    'EpochSeedHook',
    'ExportHook',
    'KeepFreedMemoryHook',
    'MixupHook',
    'NetAugHook',
    'TrainAccuracyHook',
    'estimate_norm_statistics',
]
