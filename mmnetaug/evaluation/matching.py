"""What a detector finds and takes for what: detections beside the objects of their images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mmdet.evaluation.functional import bbox_overlaps
from mmdet.evaluation.functional.mean_ap import average_precision, tpfp_default
from scipy.optimize import linear_sum_assignment

IOU = 0.5  # from which on a detection is of an object


@dataclass
class ImageResult:
    """The detections of an image and its objects; boxes are (n, 4): x1, y1, x2, y2 in pixels.

    Attributes:
        path: of the image.
        boxes, scores, labels: of the detections.
        true_boxes, true_labels: of the objects.
        ignored_boxes, ignored_labels: of what counts neither way ("difficult", or a crowd).
    """

    path: str
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    true_boxes: np.ndarray
    true_labels: np.ndarray
    ignored_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    ignored_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


@dataclass
class PrecisionRecall:
    """Precision and recall of a class at IoU 0.5, each (n,), over its detections by descending ``scores``; ``hits``
    says which of them are right, of ``objects``, and ``misses`` which are wrong (neither: on something ignored);
    ``ap`` is the area under the curve."""

    scores: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    objects: int
    ap: float


def precision_recall(images: Sequence[ImageResult], label: int, legacy: bool = False) -> PrecisionRecall | None:
    """How precision falls as more of the objects of a class are found, by mmdet's matching; None without an object.

    Args:
        images: all of the test set, or those alone that have an object or a detection of the class.
        label: of the class.
        legacy: sides of boxes are one pixel longer than their difference, as in Pascal VOC.
    """
    scores, hits, misses, objects = [], [], [], 0
    for image in images:
        own = image.labels == label
        objects += int((image.true_labels == label).sum())
        if own.any():
            found = np.hstack([image.boxes[own], image.scores[own, None]])
            true = image.true_boxes[image.true_labels == label]
            ignored = image.ignored_boxes[image.ignored_labels == label]
            hit, miss = tpfp_default(found, true, ignored, IOU, use_legacy_coordinate=legacy)
            scores.append(found[:, 4])
            hits.append(hit[0])
            misses.append(miss[0])
    if not objects:
        return None
    scores, hits, misses = (np.concatenate(parts) if parts else np.zeros(0) for parts in (scores, hits, misses))
    order = np.argsort(-scores, kind='stable')
    scores, hits, misses = scores[order], hits[order], misses[order]
    recall = hits.cumsum() / objects
    precision = hits.cumsum() / np.maximum((hits + misses).cumsum(), 1)
    ap = float(average_precision(recall, precision, 'area')) if len(scores) else 0.0
    return PrecisionRecall(scores, hits, misses, recall, precision, objects, ap)


def best_threshold(curves: Sequence[PrecisionRecall]) -> tuple[float, float]:
    """The score from which on the detections of all classes together have the highest F1, and that F1; 0 and 0 where
    nothing is right."""
    names = ('scores', 'hits', 'misses')
    scores, hits, misses = (np.concatenate([getattr(curve, name) for curve in curves]) for name in names)
    if not hits.any():
        return 0.0, 0.0
    order = np.argsort(-scores, kind='stable')
    right, wrong = hits[order].cumsum(), misses[order].cumsum()  # what lies on something ignored is neither
    f1 = 2 * right / (right + wrong + sum(curve.objects for curve in curves))
    scores = scores[order]
    last = np.append(scores[1:] != scores[:-1], True)  # of equal scores: a threshold takes all of them or none
    best = int(np.where(last, f1, -1).argmax())
    return float(scores[best]), float(f1[best])


def confusion_matrix(images: Sequence[ImageResult], num_classes: int, threshold: float) -> np.ndarray:
    """How often each class is taken for which.

    In each image detections and objects that overlap by an IoU of at least 0.5 are paired one to one: first so that as
    many as possible are of the same class, then by their overlap (the assignment of highest weight). A detection that
    is left over counts as background taken for its class, unless it lies on something ignored.

    Args:
        images: all of the test set.
        num_classes: C.
        threshold: least score of a detection that counts.

    Returns:
        (C + 1, C + 1) counts: rows are what is there, columns what it is taken for; the last of each is background, an
        object that is missed or a detection of nothing.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), int)
    for image in images:
        counts = image.scores >= threshold
        boxes, labels = image.boxes[counts], image.labels[counts]
        overlaps = bbox_overlaps(image.true_boxes, boxes).reshape(len(image.true_boxes), len(boxes))
        same = image.true_labels[:, None] == labels
        # all overlaps of an image together weigh less than one more pair of the same class
        weights = np.where(overlaps >= IOU, overlaps + same * (1 + min(overlaps.shape, default=0)), 0)
        rows, columns = linear_sum_assignment(weights, maximize=True)
        paired = weights[rows, columns] > 0
        rows, columns = rows[paired], columns[paired]
        np.add.at(matrix, (image.true_labels[rows], labels[columns]), 1)
        missed = np.setdiff1d(np.arange(len(image.true_boxes)), rows)
        np.add.at(matrix, (image.true_labels[missed], num_classes), 1)
        left = np.setdiff1d(np.arange(len(boxes)), columns)
        if len(image.ignored_boxes):
            left = left[bbox_overlaps(boxes[left], image.ignored_boxes).max(axis=1, initial=0) < IOU]
        np.add.at(matrix, (num_classes, labels[left]), 1)
    return matrix
