"""What heads are told where objects may be."""

from mmnetaug.models.task_modules.prior_generators import SSDLiteAnchorGenerator, YOLOv3AnchorGenerator

__all__ = ['SSDLiteAnchorGenerator', 'YOLOv3AnchorGenerator']
