"""Dense heads."""

from mmnetaug.models.dense_heads.gfl_head import DepthwiseGFLHead
from mmnetaug.models.dense_heads.ssdlite_head import SSDLiteHead
from mmnetaug.models.dense_heads.yolov3_head import YOLOv3Head

__all__ = ['DepthwiseGFLHead', 'SSDLiteHead', 'YOLOv3Head']
