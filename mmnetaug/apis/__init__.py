"""What the tools call."""

from mmnetaug.apis.benchmark import benchmark
from mmnetaug.apis.inference import infer
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.test import build_detector, checkpoint_config, test_detector
from mmnetaug.apis.train import train_detector

__all__ = ['benchmark', 'build_detector', 'checkpoint_config', 'infer', 'pretrain', 'test_detector', 'train_detector']
