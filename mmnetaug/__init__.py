"""Network Augmentation (NetAug) for tiny object detectors, on MMDetection."""

# ruff: noqa: E402
from mmnetaug import compat

compat.apply()  # before anything imports mmdet

from mmnetaug import datasets, engine, evaluation, models
from mmnetaug.apis.detector import Detector
from mmnetaug.checkpoint import load_weights
from mmnetaug.errors import InputError
from mmnetaug.evaluation import count_macs, count_params, peak_memory
from mmnetaug.models import NetAug, TinyNet, build_network

__all__ = [
    'Detector',
    'InputError',
    'NetAug',
    'TinyNet',
    'build_network',
    'count_macs',
    'count_params',
    'datasets',
    'engine',
    'evaluation',
    'load_weights',
    'models',
    'peak_memory',
]
