"""Networks, NetAug, and the models around them."""

from mmnetaug.models.backbone import TinyNet
from mmnetaug.models.classifier import Classifier
from mmnetaug.models.netaug import NetAug
from mmnetaug.models.network import Network, build_network

__all__ = ['Classifier', 'NetAug', 'Network', 'TinyNet', 'build_network']
