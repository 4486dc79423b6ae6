"""What heads are told: where objects may be, and which of these places have one."""

from mmnetaug.models.task_modules.assigners import IgnoringATSSAssigner, IgnoringDynamicSoftLabelAssigner
from mmnetaug.models.task_modules.prior_generators import SSDLiteAnchorGenerator, YOLOv3AnchorGenerator

__all__ = [
    'IgnoringATSSAssigner',
    'IgnoringDynamicSoftLabelAssigner',
    'SSDLiteAnchorGenerator',
    'YOLOv3AnchorGenerator',
]
