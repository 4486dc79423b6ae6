"""COCO's average precision."""

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmnetaug.datasets.coco import COCOAnnotations
from mmnetaug.errors import InputError
from mmnetaug.extras import need
from mmnetaug.registry import METRICS

BACKENDS = ('pycocotools', 'faster_coco_eval')


@METRICS.register_module()
class COCOAveragePrecision(BaseMetric):
    """What pycocotools' ``COCOeval`` says of the boxes, unrounded, with its own settings (100 detections an image).

    mmdet's ``CocoMetric`` rounds to three digits and counts 1000 detections an image.

    All images of the annotation file are evaluated: the objects of one for which no predictions came, such as a broken
    image that the data set left out, are missed. A class without an object has no part in the means.

    Args:
        ann_file: path of the annotations, read as :class:`~mmnetaug.datasets.coco.COCOAnnotations`.
        backend: 'pycocotools', or 'faster_coco_eval', the same figures in less time.
        options: of MMEngine's ``BaseMetric``.

    Raises:
        InputError: another backend, or one that is not installed.
    """

    default_prefix = 'coco'
    # Name -> its place in COCOeval.stats.
    STATS = {'AP': 0, 'AP50': 1, 'AP75': 2, 'AP_small': 3, 'AP_medium': 4, 'AP_large': 5}

    def __init__(self, ann_file: str, backend: str = 'pycocotools', **options: Any):
        super().__init__(**options)
        if backend not in BACKENDS:
            raise InputError(f'backend {backend!r} of COCOAveragePrecision: expected {" or ".join(BACKENDS)}')
        if backend == 'faster_coco_eval':
            need(backend)
        self.ann_file, self.backend = ann_file, backend

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each sample's ``img_id`` and ``pred_instances``: ``bboxes`` (N, 4) in pixels of the original image as
        x1, y1, x2, y2, ``scores`` (N,) and ``labels`` (N,)."""
        for sample in data_samples:
            found = sample['pred_instances']
            self.results.append((sample['img_id'], *(found[k].tolist() for k in ('bboxes', 'scores', 'labels'))))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """``AP`` over IoU 0.5 to 0.95, ``AP50``, ``AP75``, and ``AP_small`` (below 32x32 pixels), ``AP_medium`` and
        ``AP_large`` (above 96x96), and ``AP50/CLASS`` of each class, fractions. A size or a class without objects is
        left out."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            truth = COCOAnnotations(self.ann_file)
            categories = truth.get_cat_ids(self.dataset_meta['classes'])
            there = [number for number in categories if number in truth.cats]
            boxes = [
                {
                    'image_id': image,
                    'category_id': categories[label],
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'score': score,
                }
                for image, *found in results
                for (x1, y1, x2, y2), score, label in zip(*found)
                if categories[label] in truth.cats
            ]
            evaluation = self._evaluation(truth, boxes)
            evaluation.params.catIds = there
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        logger, most = MMLogger.get_current_instance(), evaluation.params.maxDets[-1]
        crowded = [image for image, count in _objects(truth).items() if count > most]
        if crowded:
            logger.warning(
                f'{self.ann_file}: {len(crowded)} images have more than {most} objects of a class, of which AP counts '
                f'{most} detections: it cannot reach 1'
            )
        logger.info('\n' + printed.getvalue()[printed.getvalue().find(' Average') :], extra={'file_only': True})
        stats = {name: float(evaluation.stats[place]) for name, place in self.STATS.items()}
        # (IoU, recall, class, area, detections): all at 0.5, areas of all sizes, most detections
        precision = evaluation.eval['precision'][0, :, :, 0, -1].mean(axis=0)
        of_id = dict(zip(evaluation.params.catIds, precision))  # which evaluate() has sorted
        by_class = {f'AP50/{truth.cats[number]["name"]}': float(of_id[number]) for number in there}
        return {name: value for name, value in {**stats, **by_class}.items() if value != -1}

    def _evaluation(self, truth: COCO, boxes: list[dict]) -> Any:
        if self.backend == 'pycocotools':
            return COCOeval(truth, truth.loadRes(boxes) if boxes else COCO(), 'bbox')
        from faster_coco_eval import COCO as FasterCOCO
        from faster_coco_eval import COCOeval_faster

        truth = FasterCOCO(truth.dataset)
        return COCOeval_faster(truth, truth.loadRes(boxes), 'bbox', print_function=print)


def _objects(truth: COCO) -> Counter:
    """(image, category) -> how many objects, without crowds."""
    annotations = truth.dataset['annotations']
    return Counter((entry['image_id'], entry['category_id']) for entry in annotations if not entry['iscrowd'])
