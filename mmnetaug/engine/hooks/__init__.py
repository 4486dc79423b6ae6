"""Hooks for MMEngine's runner."""

from mmnetaug.engine.hooks.mixup_hook import MixupSwitchHook
from mmnetaug.engine.hooks.netaug_hook import NetAugHook, estimate_norm_statistics

__all__ = ['MixupSwitchHook', 'NetAugHook', 'estimate_norm_statistics']
