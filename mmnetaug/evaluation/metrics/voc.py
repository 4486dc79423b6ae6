"""Pascal VOC's average precision."""

import numpy as np
from mmdet.evaluation import VOCMetric
from mmdet.evaluation.functional.mean_ap import average_precision, tpfp_default
from mmengine.logging import MMLogger

from mmnetaug.registry import METRICS

IOU_THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
# Keys of boxes and labels, of objects and of what is to be ignored.
BOXES = (('bboxes', 'labels'), ('bboxes_ignore', 'labels_ignore'))


@METRICS.register_module()
class VOCAveragePrecision(VOCMetric):
    """What mmdet's ``VOCMetric`` says of the boxes, all of it in one go and unrounded.

    A detection takes the object that it overlaps most; objects that are "difficult" count neither way; sides of boxes
    are one pixel longer than their difference (the VOC development kit).

    Args:
        options: of MMEngine's ``BaseMetric``.
    """

    default_prefix = None

    def compute_metrics(self, results: list[tuple[dict, list[np.ndarray]]]) -> dict[str, float]:
        """Means over the classes that have objects, fractions.

        Returns:
            ``AP50_area`` (area under the curve, VOC since 2010) and ``AP50_11point`` (VOC2007) at IoU 0.5, ``AP``
            (area, mean over IoU 0.5 to 0.95 by 0.05), and ``AP50/CLASS`` (area) of each of these classes.
        """
        by_class, elevens, means = {}, [], []
        for label, name in enumerate(self.dataset_meta['classes']):
            curves = _curves(results, label)
            if curves is None:
                continue
            areas = [average_precision(*curve, 'area') for curve in curves]
            by_class[name] = float(areas[0])
            elevens.append(average_precision(*curves[0], '11points'))
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


def _curves(results: list[tuple[dict, list[np.ndarray]]], label: int) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """(recall, precision) over the detections of a class by descending score, for each IoU; None without an object."""
    objects, scores = 0, []
    hits: list[list[np.ndarray]] = [[] for _ in IOU_THRESHOLDS]
    for truth, detections in results:
        own, ignored = (truth[boxes][truth[of] == label] for boxes, of in BOXES)
        objects += len(own)
        found = detections[label]
        if not len(found):
            continue
        scores.append(found[:, -1])
        if len(own) or len(ignored):
            judged = [tpfp_default(found, own, ignored, iou, use_legacy_coordinate=True) for iou in IOU_THRESHOLDS]
        else:  # as in most images for most classes, where mmdet's search takes its time too
            judged = [(np.zeros(len(found)), np.ones(len(found)))] * len(IOU_THRESHOLDS)
        for place, true_and_false in zip(hits, judged):
            place.append(np.vstack(true_and_false))
    if not objects:
        return None
    if not scores:
        return [(np.zeros(1), np.zeros(1))] * len(IOU_THRESHOLDS)
    order = np.argsort(-np.concatenate(scores))
    curves = []
    for place in hits:
        true, false = np.cumsum(np.hstack(place)[:, order], axis=1, dtype=np.float64)
        curves.append((true / objects, true / np.maximum(true + false, np.finfo(np.float32).eps)))
    return curves
