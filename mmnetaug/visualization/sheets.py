"""Sheets of images with boxes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmnetaug.records import save_image

CELL = 400  # pixels of the longer side of an image in a sheet
GAP = 6


def box_meta(names: Sequence[str]) -> dict[str, Any]:
    """``dataset_meta`` of a visualizer: names of classes, and the palette, of which 'coco' has too few for hundreds."""
    return {'classes': list(names), 'palette': 'coco' if len(names) <= 80 else 'random'}


class BoxPainter:
    """Draws boxes with the names of their classes, by MMDetection's ``DetLocalVisualizer``.

    Args:
        names: of the classes, see :func:`~mmnetaug.visualization.fonts.drawable_names`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.visualizer = DetLocalVisualizer(line_width=2)
        self.visualizer.dataset_meta = box_meta(names)

    def __call__(
        self, picture: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None
    ) -> np.ndarray:
        """An image (height, width, 3), uint8 BGR, scaled to ``CELL``, with (n, 4) boxes in its pixels."""
        scale = CELL / max(picture.shape[:2])
        size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        scaled = np.asarray(boxes, np.float32).reshape(-1, 4) * np.float32(scale)
        limits = np.array([size[0] - 1, size[1] - 1] * 2, np.float32)
        parts = {'bboxes': torch.from_numpy(np.clip(scaled, 0, limits)), 'labels': torch.from_numpy(labels)}
        if scores is None:
            sample = DetDataSample(gt_instances=InstanceData(**parts))
        else:
            sample = DetDataSample(pred_instances=InstanceData(**parts, scores=torch.from_numpy(scores)))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of boxes at the border
            self.visualizer.add_datasample(
                '', picture[..., ::-1], sample, draw_gt=scores is None, draw_pred=scores is not None, pred_score_thr=-1
            )
        return np.ascontiguousarray(self.visualizer.get_image()[..., ::-1])


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one size side by side."""
    return np.hstack([left, np.full((len(left), GAP, 3), 255, np.uint8), right])


def write_sheet(pictures: Sequence[np.ndarray], columns: int, path: str | Path, title: str) -> None:
    """Write pictures (height, width, 3), uint8 BGR, as one, row by row, below a title in ASCII."""
    width, height = max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures)
    columns, bar = min(columns, len(pictures)), 36
    rows = -(-len(pictures) // columns)
    sheet = np.full((bar + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, np.uint8)
    size = min(0.6, 0.6 * (sheet.shape[1] - 2 * GAP) / cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)[0][0])
    cv2.putText(sheet, title, (GAP, 24), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    for number, picture in enumerate(pictures):
        x, y = GAP + number % columns * (width + GAP), bar + number // columns * (height + GAP)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    save_image(path, sheet)
