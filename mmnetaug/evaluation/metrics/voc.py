"""Pascal VOC's average precision."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmdet.evaluation.functional import bbox_overlaps
from mmdet.evaluation.functional.mean_ap import average_precision
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmnetaug.registry import METRICS

IOU_THRESHOLDS = np.array([0.5 + 0.05 * step for step in range(10)], np.float32)


class Matched(NamedTuple):
    """The n detections of an image by descending score.

    Attributes:
        labels: (n,) classes.
        scores: (n,) float32.
        right: (n, 10) bool, whether each is the first to find its object, for each of ``IOU_THRESHOLDS``.
        wrong: (n, 10) bool; neither right nor wrong is what finds a "difficult" object.
        objects: (m,) classes of the objects that are to be found.
    """

    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    objects: np.ndarray


@METRICS.register_module()
class VOCAveragePrecision(BaseMetric):
    """What mmdet's ``VOCMetric`` says of the boxes, for all overlaps by one matching and unrounded.

    A detection takes the object that it overlaps most; objects that are "difficult" count neither way.

    Args:
        use_legacy_coordinate: sides of boxes are one pixel longer than their difference, as of the whole pixels of
            Pascal VOC (its development kit).
        options: of MMEngine's ``BaseMetric``.
    """

    def __init__(self, use_legacy_coordinate: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.use_legacy_coordinate = use_legacy_coordinate

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Match each sample's ``pred_instances`` (``bboxes`` (N, 4) in pixels of the original image as x1, y1, x2, y2,
        ``scores`` (N,), ``labels`` (N,)) with its ``gt_instances`` and ``ignored_instances``."""
        for sample in data_samples:
            names = ('gt_instances', 'ignored_instances', 'pred_instances')
            parts = [{key: sample[name][key].cpu().numpy() for key in ('bboxes', 'labels')} for name in names]
            scores = sample['pred_instances']['scores'].cpu().numpy()
            self.results.append(_match(*parts, scores, self.use_legacy_coordinate))

    def compute_metrics(self, results: list[Matched]) -> dict[str, float]:
        """Means over the classes that have objects, fractions.

        Returns:
            ``AP50_area`` (area under the curve, VOC since 2010) and ``AP50_11point`` (VOC2007) at IoU 0.5, ``AP``
            (area, mean over IoU 0.5 to 0.95 by 0.05), and ``AP50/CLASS`` (area) of each of these classes.
        """
        labels, scores, right, wrong, objects = map(np.concatenate, zip(*results))
        by_class, elevens, means = {}, [], []
        for label, name in enumerate(self.dataset_meta['classes']):
            number = int((objects == label).sum())
            if not number:
                continue
            own = np.flatnonzero(labels == label)
            own = own[np.argsort(-scores[own], kind='stable')]
            hits, misses = (np.cumsum(kind[own], axis=0, dtype=np.float64).T for kind in (right, wrong))
            recalls, precisions = hits / number, hits / np.maximum(hits + misses, np.finfo(np.float32).eps)
            areas = average_precision(recalls, precisions, 'area') if len(own) else np.zeros(len(IOU_THRESHOLDS))
            by_class[name] = float(areas[0])
            elevens.append(average_precision(recalls[0], precisions[0], '11points') if len(own) else 0.0)
            means.append(np.mean(areas))
        MMLogger.get_current_instance().info(
            'AP50 of each class: ' + ', '.join(f'{name} {value:.3f}' for name, value in by_class.items()),
            extra={'file_only': True},
        )
        return {
            'AP50_11point': float(np.mean(elevens)),
            'AP50_area': float(np.mean(list(by_class.values()))),
            'AP': float(np.mean(means)),
            **{f'AP50/{name}': value for name, value in by_class.items()},
        }


def _match(objects: dict, ignored: dict, found: dict, scores: np.ndarray, legacy: bool) -> Matched:
    best_first = np.argsort(-scores, kind='stable')
    boxes, labels = found['bboxes'][best_first], found['labels'][best_first]
    truth, kinds = (np.concatenate([objects[key], ignored[key]]) for key in ('bboxes', 'labels'))
    difficult = np.arange(len(kinds)) >= len(objects['labels'])
    shape = len(boxes), len(IOU_THRESHOLDS)
    right, wrong = np.zeros(shape, bool), np.ones(shape, bool)
    if len(boxes) and len(truth):
        overlaps = bbox_overlaps(boxes, truth, use_legacy_coordinate=legacy)
        overlaps[labels[:, None] != kinds] = -1
        taken = overlaps.argmax(axis=1)
        overlapping = overlaps.max(axis=1)[:, None] >= IOU_THRESHOLDS
        for number in np.unique(taken[overlapping[:, 0]]):
            finds = overlapping & (taken == number)[:, None]
            if difficult[number]:
                wrong &= ~finds
            else:
                first = finds & (np.cumsum(finds, axis=0) == 1)
                right |= first
                wrong &= ~first
    return Matched(labels, scores[best_first], right, wrong, objects['labels'])
