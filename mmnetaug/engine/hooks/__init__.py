"""Hooks for MMEngine's runner."""

from mmnetaug.engine.hooks.dropblock_hook import DropBlockHook
from mmnetaug.engine.hooks.mixup_hook import MixupSwitchHook
from mmnetaug.engine.hooks.netaug_hook import NetAugHook, estimate_norm_statistics
from mmnetaug.engine.hooks.seed_hook import EpochSeedHook
from mmnetaug.engine.hooks.train_accuracy_hook import TrainAccuracyHook

__all__ = [
    'DropBlockHook',
    'EpochSeedHook',
    'MixupSwitchHook',
    'NetAugHook',
    'TrainAccuracyHook',
    'estimate_norm_statistics',
]
