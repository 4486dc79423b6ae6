"""What is said of a detector's head, so that its raw maps can be decoded without it: one description for PyTorch,
NumPy, JSON and C."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import GFLHead, RTMDetHead, RTMDetSepBNHead, SSDHead, YOLOV3Head
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor

from mmnetaug.models.dense_heads import DepthwiseGFLHead, SSDLiteHead, YOLOv3Head
from mmnetaug.models.networks.network import input_channels

# Heads whose prediction is known here -> its kind. A subclass may predict in another way, and is not among them.
HEADS = {
    **dict.fromkeys([SSDHead, SSDLiteHead], 'ssd'),
    **dict.fromkeys([YOLOV3Head, YOLOv3Head], 'yolov3'),
    **dict.fromkeys([RTMDetHead, RTMDetSepBNHead], 'distances'),
    **dict.fromkeys([GFLHead, DepthwiseGFLHead], 'distributions'),
}


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
    priors = head.prior_generator.grid_priors(sizes, device='cpu')
    if kind not in ('ssd', 'yolov3'):  # of points, or of anchors of which the centre counts
        points = [(each[:, :2] + each[:, 2:]) / 2 if each.shape[1] == 4 else each[:, :2] for each in priors]
        priors = [F.pad(each, (0, 1), value=stride[0]) for each, stride in zip(points, head.prior_generator.strides)]
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
