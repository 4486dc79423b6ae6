"""SSDLite's head (MobileNetV2 paper, section 6.2)."""

from typing import Any

from mmdet.models.dense_heads import SSDHead
from mmengine.structures import InstanceData
from torch import Tensor

from mmnetaug.errors import InputError
from mmnetaug.registry import MODELS


@MODELS.register_module()
class SSDLiteHead(SSDHead):
    """mmdet's head; with detection mixup an object's weight weighs the losses of its anchors (arXiv 1902.04103).

    ``gt_instances.weights`` (n,) holds it; where that is absent every weight is 1.

    Args:
        in_channels: of each level.
        kwargs: as in ``SSDHead``.

    Raises:
        InputError: the anchors are for another number of levels.
    """

    weighs_objects = True

    def __init__(self, in_channels: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(in_channels=in_channels, **kwargs)
        if self.prior_generator.num_levels != len(in_channels):
            raise InputError(
                f'the neck has {len(in_channels)} levels and the anchors have {self.prior_generator.num_levels}: give '
                'both the same size (--size, or model.neck.size and model.bbox_head.anchor_generator.size)'
            )

    def _get_targets_single(
        self, flat_anchors: Tensor, valid_flags: Tensor, gt_instances: InstanceData, *args, **kwargs
    ) -> tuple:
        targets = super()._get_targets_single(flat_anchors, valid_flags, gt_instances, *args, **kwargs)
        labels, label_weights, _, bbox_weights, _, _, sampling = targets
        if 'weights' in gt_instances:
            weights = gt_instances.weights[sampling.pos_assigned_gt_inds]
            objects = labels < self.num_classes  # in the order of sampling.pos_inds
            label_weights[objects] *= weights
            bbox_weights[objects] *= weights[:, None]
        return targets
