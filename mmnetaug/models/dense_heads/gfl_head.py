"""GFL's head made light."""

from typing import Any

from mmdet.models.dense_heads import GFLHead
from torch import nn

from mmnetaug.models.layers import make_depthwise
from mmnetaug.registry import MODELS


@MODELS.register_module()
class DepthwiseGFLHead(GFLHead):
    """mmdet's ``GFLHead`` (arXiv 2006.04388) with depthwise separable towers and 1x1 predictors, as in NanoDet-Plus.

    Args:
        kwargs: as in ``GFLHead``.
    """

    def __init__(self, act_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.act_cfg = act_cfg or {'type': 'ReLU'}
        super().__init__(**kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        make_depthwise(self, self.act_cfg)
        self.gfl_cls = nn.Conv2d(self.feat_channels, self.cls_out_channels, 1)
        self.gfl_reg = nn.Conv2d(self.feat_channels, 4 * (self.reg_max + 1), 1)
