"""From the raw maps of a detector's head to boxes: one description for PyTorch, NumPy, JSON and C."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmdet.models.dense_heads import GFLHead, RTMDetHead, RTMDetSepBNHead, SSDHead, YOLOV3Head
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmnetaug.models.dense_heads import DepthwiseGFLHead, SSDLiteHead, YOLOv3Head
from mmnetaug.models.networks.network import input_channels

# How heads predict, in the order by which C knows them.
KINDS = ('ssd', 'yolov3', 'distances', 'distributions', 'log_distances')
# Heads whose prediction is known here -> its kind. A subclass may predict in another way, and is not among them.
HEADS = {
    **dict.fromkeys([SSDHead, SSDLiteHead], 'ssd'),
    **dict.fromkeys([YOLOV3Head, YOLOv3Head], 'yolov3'),
    **dict.fromkeys([RTMDetHead, RTMDetSepBNHead], 'distances'),
    **dict.fromkeys([GFLHead, DepthwiseGFLHead], 'distributions'),
}
# Longest side of a decoded box over its anchor's, and back: mmdet's ``wh_ratio_clip``.
MAX_RATIO = abs(math.log(16 / 1000))
BLOCK = 256  # boxes that are compared with all others at a time


def describe_head(
    detector: SingleStageDetector, size: Sequence[int], image: Sequence[int] | None = None
) -> dict[str, Any] | None:
    """All that is needed to turn the raw maps of a detector into boxes, as plain data.

    Args:
        detector: in evaluation mode.
        size: width and height of the input in pixels.
        image: width and height of the image in it, at the top left of padding; all of it if None.

    Returns:
        ``kind``, ``size`` (of the image, where boxes are cut), ``num_classes``, ``levels`` (height, width and number of
        priors of each), ``priors`` (a list of numbers for each: corners of an anchor in pixels, or the centre in pixels
        and the stride), ``level_strides`` (YOLOv3), ``means`` and ``stds`` of the coder (SSD), ``bins`` (GFL),
        ``score_thr``, ``conf_thr``, ``nms_pre``, ``iou_thr``, ``max_per_img``, ``min_size``. None for a head, a coder
        or an NMS that is not known here, and for a least side of boxes, which mmdet counts in pixels of the original.
    """
    head, cfg = detector.bbox_head, detector.test_cfg
    kind = HEADS.get(type(head))
    nms = dict(cfg.get('nms') or {})
    if kind is None or nms.pop('type', None) != 'nms' or nms.keys() != {'iou_threshold'}:
        return None
    if cfg.get('min_bbox_size', -1) > 0:
        return None
    maps = raw_maps(detector, torch.zeros(1, input_channels(detector), size[1], size[0]))
    sizes = [tuple(level.shape[-2:]) for level in maps[: head.prior_generator.num_levels]]
    described: dict[str, Any] = {}
    if kind == 'ssd':
        coder = head.bbox_coder
        if type(coder).__name__ != 'DeltaXYWHBBoxCoder' or coder.add_ctr_clamp or head.use_sigmoid_cls:
            return None
        described = {'means': list(coder.means), 'stds': list(coder.stds)}
    if kind == 'distributions':
        described = {'bins': head.reg_max + 1}
    if kind in ('ssd', 'yolov3'):
        priors = head.prior_generator.grid_priors(sizes, device='cpu')
    else:
        priors = [
            torch.cat([points[:, :2], points.new_full((len(points), 1), stride[0])], dim=1)
            for points, stride in zip(_points(head, sizes), head.prior_generator.strides)
        ]
    if kind == 'yolov3':
        described['level_strides'] = list(head.featmap_strides)
    return {
        'kind': kind,
        'size': list(image or size),
        'num_classes': head.num_classes,
        'levels': [[*side, len(level)] for side, level in zip(sizes, priors)],
        'priors': torch.cat(priors).tolist(),
        **described,
        'score_thr': cfg.get('score_thr', 0),
        'conf_thr': cfg.get('conf_thr', -1),
        'nms_pre': cfg.get('nms_pre', -1),
        'iou_thr': nms['iou_threshold'],
        'max_per_img': cfg.get('max_per_img', 100),
        'min_size': cfg.get('min_bbox_size', -1),
    }


def _points(head: nn.Module, sizes: list[tuple[int, int]]) -> list[Tensor]:
    priors = head.prior_generator.grid_priors(sizes, device='cpu')
    return [(prior[:, :2] + prior[:, 2:]) / 2 if prior.shape[1] == 4 else prior for prior in priors]


def leave_exponential(detector: SingleStageDetector, described: dict[str, Any] | None) -> None:
    """Have RTMDet's maps hold ``stride * log(distance / stride)``, and the decoder of ``described`` take the
    exponential, of which TFLite has none in int8; where nothing is described the head's own maps stay."""
    if described and getattr(detector.bbox_head, 'exp_on_reg', False):
        detector.bbox_head.exp_on_reg = False
        described['kind'] = 'log_distances'


def raw_maps(detector: SingleStageDetector, images: Tensor) -> list[Tensor]:
    """(N, 3, H, W) normalised images -> the head's maps, (N, C, H, W) each: all of scores, then all of boxes."""
    outputs = detector.bbox_head(detector.extract_feat(images))
    return [level for part in outputs for level in part]


def decode(maps: Sequence[Any], head: dict[str, Any], xp: ModuleType = np) -> tuple[Any, Any]:
    """Boxes and scores before non-maximum suppression, as mmdet's heads give them.

    Args:
        maps: of :func:`raw_maps` for one image, (C, H, W) each.
        head: of :func:`describe_head`.
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
        kept = _best(ranked * allowed, head['nms_pre'], xp)
        scores = ranked * confidence * kept
    else:
        count = len(levels)
        outputs = classes + 1 if kind == 'ssd' else classes
        of_box = 4 * head.get('bins', 1)
        ranked = [_rows(level, outputs, xp) for level in maps[:count]]
        ranked = [_softmax(level, xp)[:, :-1] if kind == 'ssd' else _sigmoid(level, xp) for level in ranked]
        kept = [_best(level * (level > head['score_thr']), head['nms_pre'], xp) for level in ranked]
        scores = xp.concatenate(ranked) * xp.concatenate(kept)
        rows = xp.concatenate([_rows(level, of_box, xp) for level in maps[count:]])
        boxes = _cut(_boxes(rows, priors, head, xp), *head['size'], xp)
    if head['min_size'] >= 0:
        sides = boxes[:, 2:] - boxes[:, :2]
        scores = scores * (sides > head['min_size']).all(1)[:, None]
    return boxes, scores


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


def _best(scores: Any, number: int, xp: ModuleType) -> Any:
    """Where the ``number`` highest scores above 0 are, all if it is negative; PyTorch keeps all that equal the last."""
    kept = scores > 0
    if 0 < number < math.prod(scores.shape):
        flat = scores.reshape(-1)
        if xp is torch:
            return kept & (scores >= torch.topk(flat, number).values[-1])
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
        apart = inner / (areas + areas[own] - inner) <= iou_thr
        for place, row in enumerate(apart, start):
            if kept[place]:
                kept[place + 1 :] &= row[place + 1 :]
    return kept


def postprocess(maps: Sequence[np.ndarray], head: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw maps of one image, (C, H, W) each, to boxes in pixels of the input, scores and labels; see
    :func:`describe_head` and :func:`suppress`."""
    return suppress(*decode(maps, head), head)
