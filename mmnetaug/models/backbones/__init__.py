"""Backbones of detectors."""

from mmnetaug.models.backbones.tiny_net import TinyNet

__all__ = ['TinyNet']
