"""Hooks for MMEngine's runner."""

from mmnetaug.engine.hooks.buffers_hook import SyncBuffersHook
from mmnetaug.engine.hooks.checkpoint_hook import CheckpointHook
from mmnetaug.engine.hooks.console_hook import ConsoleHook
from mmnetaug.engine.hooks.detection_mixup_hook import DetectionMixupHook
from mmnetaug.engine.hooks.export_hook import ExportHook
from mmnetaug.engine.hooks.finite_loss_hook import FiniteLossHook
from mmnetaug.engine.hooks.memory_hook import KeepFreedMemoryHook
from mmnetaug.engine.hooks.netaug_hook import NetAugHook, estimate_norm_statistics
from mmnetaug.engine.hooks.patience_hook import PatienceHook
from mmnetaug.engine.hooks.pictures_hook import PicturesHook
from mmnetaug.engine.hooks.regularizers import (
    AutoAugmentHook,
    DistillationHook,
    DropBlockHook,
    DropoutHook,
    MixupHook,
)
from mmnetaug.engine.hooks.results_hook import ResultsHook
from mmnetaug.engine.hooks.score_hook import NothingLearntHook
from mmnetaug.engine.hooks.seed_hook import IterationSeedHook
from mmnetaug.engine.hooks.stop_hook import StopHook
from mmnetaug.engine.hooks.train_accuracy_hook import TrainAccuracyHook

__all__ = [
    'AutoAugmentHook',
    'CheckpointHook',
    'ConsoleHook',
    'DetectionMixupHook',
    'DistillationHook',
    'DropBlockHook',
    'DropoutHook',
    'ExportHook',
    'FiniteLossHook',
    'IterationSeedHook',
    'KeepFreedMemoryHook',
    'MixupHook',
    'NetAugHook',
    'NothingLearntHook',
    'PatienceHook',
    'PicturesHook',
    'ResultsHook',
    'StopHook',
    'SyncBuffersHook',
    'TrainAccuracyHook',
    'estimate_norm_statistics',
]
