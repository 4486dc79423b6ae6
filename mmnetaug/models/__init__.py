"""Networks, NetAug, and the models around them."""

from mmnetaug.models.backbones import TinyNet
from mmnetaug.models.classifiers import Classifier
from mmnetaug.models.data_preprocessors import MultiScaleResize
from mmnetaug.models.dense_heads import DepthwiseGFLHead, SSDLiteHead, YOLOv3Head
from mmnetaug.models.detectors import SingleStageDetector
from mmnetaug.models.necks import SSDLiteNeck, YOLOv3Neck
from mmnetaug.models.networks import NetAug, Network, build_network
from mmnetaug.models.task_modules import SSDLiteAnchorGenerator, YOLOv3AnchorGenerator

__all__ = [
    'Classifier',
    'DepthwiseGFLHead',
    'MultiScaleResize',
    'NetAug',
    'Network',
    'SSDLiteAnchorGenerator',
    'SSDLiteHead',
    'SSDLiteNeck',
    'SingleStageDetector',
    'TinyNet',
    'YOLOv3AnchorGenerator',
    'YOLOv3Head',
    'YOLOv3Neck',
    'build_network',
]
