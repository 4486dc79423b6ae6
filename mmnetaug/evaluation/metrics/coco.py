"""COCO's average precision."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmnetaug.registry import METRICS


@METRICS.register_module()
class COCOAveragePrecision(BaseMetric):
    """What pycocotools' ``COCOeval`` says of the boxes, unrounded, with its own settings (100 detections an image).

    mmdet's ``CocoMetric`` rounds to three digits and counts 1000 detections an image.

    All images of the annotation file are evaluated: the objects of one for which no predictions came, such as a broken
    image that the data set left out, are missed.

    Args:
        ann_file: path of the annotations. Without ``area`` an annotation has that of its box, without ``iscrowd`` it
            is no crowd.
        options: of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'coco'
    # Name -> its place in COCOeval.stats.
    STATS = {'AP': 0, 'AP50': 1, 'AP75': 2, 'AP_small': 3, 'AP_medium': 4, 'AP_large': 5}

    def __init__(self, ann_file: str, **options: Any):
        super().__init__(**options)
        self.ann_file = ann_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each sample's ``img_id`` and ``pred_instances``: ``bboxes`` (N, 4) in pixels of the original image as
        x1, y1, x2, y2, ``scores`` (N,) and ``labels`` (N,)."""
        for sample in data_samples:
            found = sample['pred_instances']
            self.results.append((sample['img_id'], *(found[k].tolist() for k in ('bboxes', 'scores', 'labels'))))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """``AP`` over IoU 0.5 to 0.95, ``AP50``, ``AP75``, and ``AP_small`` (below 32x32 pixels), ``AP_medium`` and
        ``AP_large`` (above 96x96), fractions. A size that no object has is left out."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            truth = read_truth(self.ann_file)
            # a data set numbers its classes in the order of the file's categories
            categories = truth.getCatIds(catNms=list(self.dataset_meta['classes']))
            boxes = [
                {
                    'image_id': image,
                    'category_id': categories[label],
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'score': score,
                }
                for image, *found in results
                for (x1, y1, x2, y2), score, label in zip(*found)
            ]
            evaluation = COCOeval(truth, truth.loadRes(boxes) if boxes else COCO(), 'bbox')
            evaluation.params.catIds = categories
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        MMLogger.get_current_instance().info('\n' + printed.getvalue()[printed.getvalue().find(' Average') :])
        stats = {name: float(evaluation.stats[place]) for name, place in self.STATS.items()}
        return {name: value for name, value in stats.items() if value != -1}


def read_truth(ann_file: str) -> COCO:
    """Annotations as ``COCOeval`` needs them: with ``area`` and ``iscrowd``, numbered from 1."""
    truth = COCO()
    truth.dataset = json.loads(Path(ann_file).read_text())
    for number, annotation in enumerate(truth.dataset['annotations'], 1):
        annotation['id'] = number  # COCOeval takes a match with number 0 for none
        annotation['iscrowd'] = annotation.get('iscrowd') or 0
        if annotation.get('area') is None:
            annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
    truth.createIndex()
    return truth
