"""YOLOv3's head (Redmon and Farhadi 2018)."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from mmnetaug.models.layers import make_depthwise
from mmnetaug.models.necks.yolov3_neck import LEAKY_RELU
from mmnetaug.registry import MODELS


@MODELS.register_module()
class YOLOv3Head(YOLOV3Head):
    """mmdet's head, with three differences in the loss.

    - It is the mean over the images of a batch, as the paper's learning rates expect, instead of the sum.
    - Anchors that overlap with objects to be ignored (VOC's "difficult", COCO's crowds) are not background.
    - With detection mixup an object's weight is the objectness target of its anchor and weighs its other losses
      (arXiv 1902.04103). ``gt_instances.weights`` (n,) holds it; where that is absent every weight is 1.

    Args:
        in_channels: of each level, from low to high resolution; the head is as wide.
        depthwise: make every 3x3 convolution depthwise separable.
        ignore_above: an anchor is not background from this IoU on with an object that is to be ignored, nor with this
            share of it in one; of other objects ``neg_iou_thr`` of the assigner says it.
        kwargs: as in ``YOLOV3Head``.
    """

    weighs_objects = True

    def __init__(
        self, in_channels: Sequence[int], depthwise: bool = True, ignore_above: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(in_channels=list(in_channels), out_channels=list(in_channels), **kwargs)
        self.ignore_above = ignore_above
        if depthwise:
            make_depthwise(self, kwargs.get('act_cfg', LEAKY_RELU))

    def loss_by_feat(
        self,
        pred_maps: Sequence[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """As in mmdet: losses of each level, ``pred_maps`` of (N, anchors * (5 + classes), H, W)."""
        for objects, ignored in zip(batch_gt_instances, batch_gt_instances_ignore or ()):
            objects.set_metainfo({'ignored': ignored.bboxes})
        losses = super().loss_by_feat(pred_maps, batch_gt_instances, batch_img_metas)
        return {name: [loss / len(batch_img_metas) for loss in levels] for name, levels in losses.items()}

    def _get_targets_single(
        self, anchors: list[Tensor], responsible_flags: list[Tensor], gt_instances: InstanceData
    ) -> tuple[Tensor, Tensor]:
        targets, background = super()._get_targets_single(anchors, responsible_flags, gt_instances)
        background = background.float()
        anchors = torch.cat(anchors)
        ignored = gt_instances.get('ignored')
        if ignored is not None and len(ignored):
            for mode in ('iou', 'iof'):  # like an object, and inside a crowd
                background[bbox_overlaps(anchors, ignored, mode).amax(dim=1) > self.ignore_above] = 0
        if 'weights' in gt_instances:
            # once more, as mmdet does not return which object an anchor took
            priors = InstanceData(priors=anchors, responsible_flags=torch.cat(responsible_flags))
            matched = self.assigner.assign(priors, gt_instances).gt_inds
            objects = matched > 0
            weights = gt_instances.weights[matched[objects] - 1]
            targets[objects, 4] = weights
            # mmdet weighs the loss of objectness by the sum of both, which is to stay 1
            background[objects] = 1 - weights
        return targets, background
