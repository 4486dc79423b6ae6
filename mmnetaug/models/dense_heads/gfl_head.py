"""GFL's head made light."""

from copy import deepcopy
from typing import Any

from mmdet.models.dense_heads import GFLHead
from mmdet.models.utils import multi_apply
from torch import Tensor, nn

from mmnetaug.models.layers import make_depthwise
from mmnetaug.registry import MODELS


@MODELS.register_module()
class DepthwiseGFLHead(GFLHead):
    """mmdet's ``GFLHead`` (arXiv 2006.04388) with depthwise separable towers and 1x1 predictors, as in NanoDet-Plus.

    Args:
        share_conv: whether the levels share their towers, as in ``GFLHead``. Batch normalisation, shared as well, then
            has the statistics of each level in training, and an average over all in evaluation.
        kwargs: as in ``GFLHead``.
    """

    def __init__(self, act_cfg: dict[str, Any] | None = None, share_conv: bool = True, **kwargs: Any) -> None:
        self.act_cfg = act_cfg or {'type': 'ReLU'}
        self.share_conv = share_conv
        super().__init__(**kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        make_depthwise(self, self.act_cfg)
        self.gfl_cls = nn.Conv2d(self.feat_channels, self.cls_out_channels, 1)
        self.gfl_reg = nn.Conv2d(self.feat_channels, 4 * (self.reg_max + 1), 1)
        if not self.share_conv:
            for name in ('cls_convs', 'reg_convs'):
                tower = nn.Sequential(*getattr(self, name))
                setattr(self, name, nn.ModuleList(deepcopy(tower) for _ in self.scales))

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Of maps (N, C, H, W), scores (N, classes, H, W) and distributions (N, 4 * bins, H, W), as in ``GFLHead``."""
        if self.share_conv:
            return super().forward(x)
        return multi_apply(self._forward_level, x, self.cls_convs, self.reg_convs, self.scales)

    def _forward_level(
        self, x: Tensor, cls_tower: nn.Module, reg_tower: nn.Module, scale: nn.Module
    ) -> tuple[Tensor, Tensor]:
        return self.gfl_cls(cls_tower(x)), scale(self.gfl_reg(reg_tower(x))).float()
