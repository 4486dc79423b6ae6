"""What a user might write: a neck and a head of their own, known to the tools by ``--custom-imports`` alone."""

from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS


@MODELS.register_module()
class MyHead(ATSSHead):
    """mmdet's ATSS under another name, with one convolution a branch."""

    def __init__(self, **kwargs):
        super().__init__(stacked_convs=1, **kwargs)
