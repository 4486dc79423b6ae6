"""Hooks and settings of training."""

from mmnetaug.engine import hooks, loops

__all__ = ['hooks', 'loops']
