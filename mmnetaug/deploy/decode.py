"""From the raw maps of a detector's head to boxes, with what :mod:`~mmnetaug.deploy.heads` says of it.

This file needs NumPy alone: copied to where there is no PyTorch, it decodes what a TFLite or raw ONNX file gives.
"""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

# How heads predict, in the order by which C knows them.
KINDS = ('ssd', 'yolov3', 'distances', 'distributions', 'log_distances')
# Longest side of a decoded box over its anchor's, and back: mmdet's ``wh_ratio_clip``.
MAX_RATIO = abs(math.log(16 / 1000))
BLOCK = 256  # boxes that are compared with all others at a time


def decode(maps: Sequence[Any], head: dict[str, Any], xp: ModuleType = np) -> tuple[Any, Any]:
    """Boxes and scores before non-maximum suppression, as mmdet's heads give them.

    Args:
        maps: the outputs of a network for one image, (C, H, W) each: of each level its scores, then of each level its
            boxes, with the channels of a cell's first prior before those of its second. A prior has a score for each
            class, of SSD then one for the background, before a softmax (SSD) or a sigmoid; and four numbers of its box,
            of GFL as many times ``bins``. YOLOv3 has one map a level: the box, objectness and the classes of a prior.
        head: of :func:`~mmnetaug.deploy.heads.describe_head`: ``head`` in the JSON of a TFLite file.
        xp: ``numpy`` or ``torch``, whichever the maps are of.

    Returns:
        (priors, 4) corners in pixels of the input, and (priors, classes) scores: 0 for all but the ``nms_pre`` best of
        each level that are above ``score_thr``.
    """
    classes, kind, levels = head['num_classes'], head['kind'], head['levels']
    priors = _constant(head['priors'], maps[0], xp)
    if kind == 'yolov3':
        rows = xp.concatenate([_rows(level, 5 + classes, xp) for level in maps])
        strides = [stride for stride, (*_, count) in zip(head['level_strides'], levels) for _ in range(count)]
        strides = _constant(strides, maps[0], xp)[:, None]
        centres = (priors[:, :2] + priors[:, 2:]) * 0.5 + (_sigmoid(rows[:, :2], xp) - 0.5) * strides
        halves = (priors[:, 2:] - priors[:, :2]) * 0.5 * xp.exp(rows[:, 2:4])
        boxes = xp.concatenate([centres - halves, centres + halves], axis=1)
        confidence, ranked = _sigmoid(rows[:, 4:5], xp), _sigmoid(rows[:, 5:], xp)
        allowed = (confidence >= head['conf_thr']) & (ranked > head['score_thr'])
        kept, scores = _best(ranked, allowed, head['nms_pre'], xp), ranked * confidence
    else:
        count = len(levels)
        outputs = classes + 1 if kind == 'ssd' else classes
        of_box = 4 * head.get('bins', 1)
        ranked = [_rows(level, outputs, xp) for level in maps[:count]]
        ranked = [_softmax(level, xp)[:, :-1] if kind == 'ssd' else _sigmoid(level, xp) for level in ranked]
        kept = xp.concatenate([_best(level, level > head['score_thr'], head['nms_pre'], xp) for level in ranked])
        scores = xp.concatenate(ranked)
        rows = xp.concatenate([_rows(level, of_box, xp) for level in maps[count:]])
        boxes = _cut(_boxes(rows, priors, head, xp), *head['size'], xp)
    if head['min_size'] >= 0:
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = kept & (sides > head['min_size']).all(1)[:, None]
    return boxes, xp.where(kept, scores, 0)


def _boxes(rows: Any, priors: Any, head: dict[str, Any], xp: ModuleType) -> Any:
    if head['kind'] == 'ssd':
        rows = rows * _constant(head['stds'], rows, xp) + _constant(head['means'], rows, xp)
        sides = priors[:, 2:] - priors[:, :2]
        centres = (priors[:, :2] + priors[:, 2:]) * 0.5 + sides * rows[:, :2]
        halves = sides * xp.exp(rows[:, 2:].clip(-MAX_RATIO, MAX_RATIO)) * 0.5
        return xp.concatenate([centres - halves, centres + halves], axis=1)
    if head['kind'] == 'distributions':
        shares = _softmax(rows.reshape(-1, head['bins']), xp)
        steps = _constant(list(range(head['bins'])), rows, xp)
        rows = (shares * steps).sum(1).reshape(-1, 4) * priors[:, 2:]
    if head['kind'] == 'log_distances':
        rows = xp.exp((rows / priors[:, 2:]).clip(-80, 80)) * priors[:, 2:]
    return xp.concatenate([priors[:, :2] - rows[:, :2], priors[:, :2] + rows[:, 2:]], axis=1)


def _cut(boxes: Any, width: int, height: int, xp: ModuleType) -> Any:
    x, y = boxes[:, 0::2].clip(0, width), boxes[:, 1::2].clip(0, height)
    return xp.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)


def _constant(values: list, like: Any, xp: ModuleType) -> Any:
    return xp.asarray(values, dtype=like.dtype)


def _rows(level: Any, columns: int, xp: ModuleType) -> Any:
    """(columns * priors of a cell, H, W) -> (priors, columns)."""
    return xp.moveaxis(level, 0, 2).reshape(-1, columns)


def _sigmoid(values: Any, xp: ModuleType) -> Any:
    return 1 / (1 + xp.exp(-values.clip(-80, 80)))


def _softmax(rows: Any, xp: ModuleType) -> Any:
    powers = xp.exp(rows - xp.amax(rows, -1)[:, None])
    return powers / powers.sum(-1)[:, None]


def _best(scores: Any, allowed: Any, number: int, xp: ModuleType) -> Any:
    """Where the ``number`` highest of the allowed scores are, all of them if it is negative; PyTorch keeps all that
    equal the last."""
    scores = xp.where(allowed, scores, 0)
    kept = scores > 0
    if 0 < number < math.prod(scores.shape):
        flat = scores.reshape(-1)
        if xp is not np:
            return kept & (scores >= xp.topk(flat, number).values[-1])
        first = np.zeros(flat.shape, bool)
        first[np.argsort(-flat, kind='stable')[:number]] = True
        return kept & first.reshape(scores.shape)
    return kept


def suppress(boxes: np.ndarray, scores: np.ndarray, head: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression of each class, as mmcv's ``batched_nms``.

    Args:
        boxes, scores: of :func:`decode`.
        head: see there.

    Returns:
        (n, 4) boxes, (n,) scores, best first, and (n,) labels; n is at most ``max_per_img``.
    """
    found = []
    for label in range(scores.shape[1]):
        order = np.flatnonzero(scores[:, label])
        order = order[np.argsort(-scores[order, label], kind='stable')]
        found += [(scores[best, label], best, label) for best in order[_kept(boxes[order], head['iou_thr'])]]
    found = sorted(found, key=lambda one: -one[0])[: head['max_per_img']]
    places = np.array([place for _, place, _ in found], dtype=int)
    return (
        boxes[places].reshape(-1, 4),
        np.array([score for score, _, _ in found], dtype=scores.dtype),
        np.array([label for _, _, label in found], dtype=int),
    )


def _kept(boxes: np.ndarray, iou_thr: float) -> np.ndarray:
    """(n,) whether no better box that is kept overlaps one by more than ``iou_thr``; (n, 4) boxes, best first."""
    kept = np.ones(len(boxes), bool)
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    areas = (right - left) * (bottom - top)
    for start in range(0, len(boxes), BLOCK):
        own = slice(start, start + BLOCK), None
        width = np.minimum(right[own], right) - np.maximum(left[own], left)
        height = np.minimum(bottom[own], bottom) - np.maximum(top[own], top)
        inner = width.clip(min=0) * height.clip(min=0)
        with np.errstate(invalid='ignore'):  # boxes without an area overlap with none
            apart = ~(inner / (areas + areas[own] - inner) > iou_thr)
        for place, row in enumerate(apart, start):
            if kept[place]:
                kept[place + 1 :] &= row[place + 1 :]
    return kept


def postprocess(maps: Sequence[np.ndarray], head: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw maps of one image, as :func:`decode` takes them, to boxes in pixels of the input, scores and labels; see
    :func:`suppress`."""
    return suppress(*decode(maps, head), head)
