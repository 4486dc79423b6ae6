"""Necks."""

from mmnetaug.models.necks.ssdlite_neck import SSDLiteNeck
from mmnetaug.models.necks.yolov3_neck import YOLOv3Neck

__all__ = ['SSDLiteNeck', 'YOLOv3Neck']
