"""Hooks and settings of training."""

from mmnetaug.engine import hooks

__all__ = ['hooks']
