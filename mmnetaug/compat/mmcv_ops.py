"""``mmcv.ops`` without its compiled half.

mmcv-lite ships the Python half of ``mmcv.ops``, which imports the compiled module ``mmcv._ext`` that only
full mmcv has, and mmdet imports ``mmcv.ops`` everywhere
(https://github.com/open-mmlab/mmdetection/issues/11475). A stand-in for that module with the one operator
that single-stage detectors need, non-maximum suppression, is enough.

Delete when mmdet imports beside an mmcv that has no compiled operators.
"""

from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType

import cv2
import numpy as np
import torch
from torch import Tensor


class OperatorStandIn(ModuleType):
    """A module that has a working ``nms``; every other operator exists but raises when it is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, doc=__doc__)
        self.nms = nms

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_operator(*args, **kwargs):
            raise NotImplementedError(
                f"mmcv's operator '{name}' needs compiled code, which mmcv-lite does not have. "
                'Install full mmcv: pip uninstall mmcv-lite && pip install mmcv==2.1.0'
            )

        return missing_operator


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression, as mmcv's compiled operator does it.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        scores: (N,).
        iou_threshold: a box goes if its IoU with a better one that stays is above this.
        offset: 0, or 1 where a box from x1 to x2 is x2 - x1 + 1 pixels wide.

    Returns:
        int64 indices of the boxes that stay, by descending score, on the device of ``boxes``.
    """
    if boxes.is_cuda and find_spec('torchvision') is not None:
        from torchvision.ops import nms as torchvision_nms

        grown = boxes.float() + boxes.new_tensor([0, 0, offset, offset], dtype=torch.float32)
        return torchvision_nms(grown, scores.float(), iou_threshold)

    best_first = scores.detach().cpu().argsort(descending=True, stable=True)
    corners = boxes.detach().cpu()[best_first].double().numpy()
    sizes = corners[:, 2:] - corners[:, :2] + offset
    # OpenCV calls any two boxes of zero area identical. Nothing overlaps them: they stay, and remove nothing.
    has_area = (sizes > 0).all(axis=1)
    candidates = np.flatnonzero(has_area)
    # OpenCV drops scores of 0 and refuses negative thresholds: it gets the order instead of the scores.
    kept = cv2.dnn.NMSBoxes(
        np.hstack([corners[candidates, :2], sizes[candidates]]),
        np.arange(len(candidates), 0, -1, dtype=np.float32),
        score_threshold=0.0,
        nms_threshold=float(iou_threshold),
    )
    kept = candidates[np.asarray(kept, dtype=np.int64).reshape(-1)]
    kept = np.sort(np.concatenate([kept, np.flatnonzero(~has_area)]))
    return best_first[torch.from_numpy(kept)].to(boxes.device)
