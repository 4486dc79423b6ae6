"""Hooks for MMEngine's runner."""

from mmnetaug.engine.hooks.netaug_hook import NetAugHook, estimate_norm_statistics

__all__ = ['NetAugHook', 'estimate_norm_statistics']
