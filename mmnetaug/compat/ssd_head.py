"""Prediction with mmdet's SSD head.

Since mmdet 3.1 the prediction of every dense head reads ``self.loss_cls``. ``SSDHead`` alone never sets it,
because it calls its loss as a function (https://github.com/open-mmlab/mmdetection/issues/11780, also in
onedl-mmdetection 3.5).

Delete when ``SSDHead`` sets the attribute itself or ``predict_by_feat`` does without it.
"""

from functools import wraps
from types import ModuleType


def add_missing_loss(ssd_head: ModuleType) -> None:
    """Give each new ``SSDHead`` of that module the ``loss_cls`` that prediction reads, unless it has set one itself."""
    SSDHead = ssd_head.SSDHead
    original_init = SSDHead.__init__

    @wraps(original_init)
    def init_with_loss(self, *args, **kwargs) -> None:
        original_init(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None  # on the instance: a class attribute would hide a loss module set later

    SSDHead.__init__ = init_with_loss
