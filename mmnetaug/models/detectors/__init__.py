"""Detectors."""

from mmnetaug.models.detectors.single_stage import SingleStageDetector

__all__ = ['SingleStageDetector']
