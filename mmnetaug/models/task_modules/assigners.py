"""Assigners for which what is to be ignored is no background."""

from typing import Any

from mmdet.models.task_modules.assigners import AssignResult, ATSSAssigner, DynamicSoftLabelAssigner
from mmengine.structures import InstanceData
from torch import Tensor

from mmnetaug.registry import TASK_UTILS


def _spare(assigned: AssignResult, centres: Tensor, ignored: InstanceData | None) -> AssignResult:
    """Priors without an object, whose (N, 2) centres lie in a box to be ignored, count neither way: -1 instead of 0."""
    if ignored is not None and len(ignored):
        low, high = ignored.bboxes[:, :2], ignored.bboxes[:, 2:]
        inside = ((centres[:, None] > low) & (centres[:, None] < high)).all(dim=2).any(dim=1)
        assigned.gt_inds[inside & (assigned.gt_inds == 0)] = -1
    return assigned


@TASK_UTILS.register_module()
class IgnoringDynamicSoftLabelAssigner(DynamicSoftLabelAssigner):
    """mmdet's ``DynamicSoftLabelAssigner``, which takes what is to be ignored (VOC's "difficult", COCO's crowds) for
    background; here points in such a box that have no object are neither."""

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **options: Any,
    ) -> AssignResult:
        """As in mmdet."""
        assigned = super().assign(pred_instances, gt_instances, gt_instances_ignore, **options)
        return _spare(assigned, pred_instances.priors[:, :2], gt_instances_ignore)


@TASK_UTILS.register_module()
class IgnoringATSSAssigner(ATSSAssigner):
    """mmdet's ``ATSSAssigner``, whose ``ignore_iof_thr`` spares anchors that lie in a box to be ignored for the most
    part, and so none for a box that is smaller than they; here also those whose centre lies in it."""

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """As in mmdet."""
        assigned = super().assign(pred_instances, num_level_priors, gt_instances, gt_instances_ignore)
        corners = pred_instances.priors
        return _spare(assigned, (corners[:, :2] + corners[:, 2:]) / 2, gt_instances_ignore)
