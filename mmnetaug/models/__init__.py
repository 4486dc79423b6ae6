"""Networks, NetAug, and the models around them."""

from mmnetaug.models.backbone import TinyNet
from mmnetaug.models.classifier import Classifier
from mmnetaug.models.netaug import NetAug
from mmnetaug.models.network import Network, build_network
from mmnetaug.models.ssdlite import SSDLite
from mmnetaug.models.yolov3 import YOLOv3

__all__ = ['Classifier', 'NetAug', 'Network', 'SSDLite', 'TinyNet', 'YOLOv3', 'build_network']
