"""Average precision: COCO's equals pycocotools called directly, VOC's equals one computed here after its devkit."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.config import ConfigDict
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmnetaug import InputError
from mmnetaug.apis.benchmark import markdown_table
from mmnetaug.apis.overrides import evaluators
from mmnetaug.apis.train import measures, summary

CATEGORIES = [{'id': 7, 'name': 'dog'}, {'id': 3, 'name': 'cat'}, {'id': 90, 'name': 'cow'}, {'id': 12, 'name': 'hen'}]
SIDES = {'small': (4, 30), 'medium': (34, 90), 'large': (100, 200)}


def jitter(rng, box, scale):
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return np.float32(box + rng.normal(0, scale, 4) * [width, height, width, height])


def make_coco(path, sizes=('small', 'medium', 'large'), images=12, first_id=1):
    """Annotations with crowds in ``path``; predictions, some of them wrong, doubled or of another class."""
    rng = np.random.default_rng(0)
    annotations, predictions = [], {}
    for image in range(100, 100 + images):
        predictions[image] = []
        for _ in range(rng.integers(0, 9)):
            label = int(rng.integers(0, 3))  # nothing is a hen
            side = rng.uniform(*SIDES[sizes[rng.integers(len(sizes))]], 2)
            x, y = rng.uniform(0, 300, 2)
            box = [round(float(v), 2) for v in (x, y, *side)]
            crowd = int(rng.random() < 0.15)
            annotations.append(
                {
                    'id': first_id + len(annotations),
                    'image_id': image,
                    'category_id': CATEGORIES[label]['id'],
                    'bbox': box,
                    'area': round(box[2] * box[3] * 0.8, 2),  # of the outline, as in COCO
                    'iscrowd': crowd,
                }
            )
            truth = np.array([x, y, x + side[0], y + side[1]])
            for _ in range(rng.integers(0, 5 if crowd else 3)):
                found = label if rng.random() < 0.8 else int(rng.integers(0, 4))
                predictions[image].append((jitter(rng, truth, 0.1), np.float32(rng.random()), found))
        for _ in range(rng.integers(0, 4)):
            x, y = rng.uniform(0, 300, 2)
            box = np.float32([x, y, x + 50, y + 40])
            predictions[image].append((box, np.float32(rng.random() * 0.7), int(rng.integers(0, 4))))
    records = [{'id': image, 'file_name': f'{image}.jpg', 'width': 640, 'height': 480} for image in predictions]
    content = {'images': records, 'annotations': annotations, 'categories': CATEGORIES}
    path.write_text(json.dumps(content))
    return predictions


def coco_measures(path, predictions, classes, **options):
    test = {'data_root': str(path.parent), 'ann_file': path.name}
    (config,) = evaluators({'layout': 'coco', 'test': test})
    found = measured({**config, **options}, predictions, classes)
    by_class = found.pop('class_AP50')
    assert by_class.keys() <= set(classes) and np.mean(list(by_class.values())) == pytest.approx(found['AP50'])
    return found


def measured(config, predictions, classes):
    metric = METRICS.build(ConfigDict(config))
    metric.dataset_meta = {'classes': classes}
    for image, found in predictions.items():
        boxes = {
            'bboxes': torch.from_numpy(np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)),
            'scores': torch.tensor([float(score) for _, score, _ in found]),
            'labels': torch.tensor([label for _, _, label in found], dtype=torch.long),
        }
        metric.process({}, [{'img_id': image, 'ori_shape': (480, 640), 'pred_instances': boxes}])
    return measures(metric.evaluate(len(predictions)))


def pycocotools_stats(path, predictions, category_ids):
    """COCOeval called as in pycocotools' own demonstration; a label is a place in ``category_ids``."""
    truth = COCO(str(path))
    results = [
        {
            'image_id': image,
            'category_id': category_ids[label],
            'bbox': [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)],
            'score': float(score),
        }
        for image, found in predictions.items()
        for (x1, y1, x2, y2), score, label in found
    ]
    evaluation = COCOeval(truth, truth.loadRes(results), 'bbox')
    evaluation.params.catIds = category_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:6].tolist()


def test_coco_equals_pycocotools(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json')
    found = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    assert list(found) == ['AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large']
    assert list(found.values()) == pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    # none of them is trivial, and all differ
    assert all(0.01 < value < 0.99 for value in found.values()) and len(set(found.values())) == 6


def test_faster_backend_gives_the_same_figures(tmp_path):
    pytest.importorskip('faster_coco_eval')
    predictions = make_coco(tmp_path / 'truth.json')
    truth, classes = tmp_path / 'truth.json', ['dog', 'cat', 'cow', 'hen']
    found = coco_measures(truth, predictions, classes, backend='faster_coco_eval')
    assert list(found.values()) == pytest.approx(pycocotools_stats(truth, predictions, [7, 3, 90, 12]), abs=1e-12)
    nothing = coco_measures(truth, {image: [] for image in predictions}, classes, backend='faster_coco_eval')
    assert list(nothing.values()) == [0.0] * 6


def test_unknown_backend(tmp_path):
    make_coco(tmp_path / 'truth.json')
    with pytest.raises(InputError, match='expected pycocotools or faster_coco_eval'):
        coco_measures(tmp_path / 'truth.json', {}, ['dog'], backend='detectron2')


def test_coco_with_one_class_and_with_some(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json')
    for classes, ids in [(['cat'], [3]), (['dog', 'cow'], [7, 90])]:
        kept = {
            image: [(box, score, label) for box, score, label in found if label < len(ids)]
            for image, found in predictions.items()
        }
        found = coco_measures(tmp_path / 'truth.json', kept, classes)
        assert list(found.values()) == pycocotools_stats(tmp_path / 'truth.json', kept, ids)


def test_coco_counts_a_hundred_detections_an_image(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json')
    before = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    box = np.float32([600, 400, 640, 480])
    for found in predictions.values():
        found.extend([(box, np.float32(0.9), 0)] * 100)  # no dog, and better than all: the others no longer count
    after = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    assert list(after.values()) == pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    assert after['AP50'] < before['AP50']


def test_sizes_that_no_object_has_are_not_measured(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json', sizes=('medium',))
    found = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    stats = pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    assert stats[3] == stats[5] == -1
    assert list(found.values()) == [*stats[:3], None, stats[4], None]
    row = {'name': 'a', 'arch': 'mcunet', 'size': 320, 'macs': 2_000_000, **found}
    assert markdown_table([row]).splitlines()[2].endswith(f'| - | {found["AP_medium"]:.3f} | - | 2.00 M |')


@pytest.mark.parametrize('sizes', [('small', 'medium', 'large'), ('medium',)])
def test_mmdets_metric_gets_our_names(tmp_path, sizes):
    predictions = make_coco(tmp_path / 'truth.json', sizes=sizes)
    config = {'type': 'mmdet.CocoMetric', 'ann_file': str(tmp_path / 'truth.json'), 'metric': 'bbox'}
    found = measured(config, predictions, ['dog', 'cat', 'cow', 'hen'])
    assert list(found) == ['AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large']
    stats = pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    assert list(found.values()) == [None if value == -1 else round(value, 3) for value in stats]
    assert summary({**found, 'macs': 2e6}).startswith(f'AP {stats[0]:.3f}, AP50 {stats[1]:.3f}, AP75')


def test_a_summary_of_measures_that_are_not_known():
    assert summary({'recall': 0.5, 'macs': 2e6}) == 'recall 0.500, 2.0 M MACs'
    of_mmdet = {'pascal_voc/mAP': np.float32(0.25), 'pascal_voc/AP50': torch.tensor(0.5), 'own/worst': float('nan')}
    found = measures({**of_mmdet, 'own/text': '0.1 0.2', 'own/list': [0.1], 'own/none': None, 'own/count': 3})
    assert found == {'pascal_voc_mAP': 0.25, 'pascal_voc_AP50': 0.5, 'own_worst': None, 'own_count': 3}
    beside = {'AP50_area': 0.5, 'AP50/cat': 0.4, 'own/score': 1}
    assert measures(beside) == {'AP50_area': 0.5, 'own_score': 1.0, 'class_AP50': {'cat': 0.4}}
    beside = {'coco/AP': 0.25, 'coco/AP50': 0.5, 'coco/AP50/cat': 0.5, 'coco/AP_small': -1.0, 'own/score': 1}
    found_beside = {name: value for name, value in measures(beside).items() if value is not None}
    assert found_beside == {'AP': 0.25, 'AP50': 0.5, 'own_score': 1.0, 'class_AP50': {'cat': 0.5}}
    result = {'seed': 0, **found, 'macs': 2_000_000, 'head_share': 0.5, 'train_seconds': 9.5}
    assert summary(result) == 'pascal_voc_mAP 0.250, pascal_voc_AP50 0.500, own_count 3.000, 2.0 M MACs'


def test_objects_of_images_left_out_are_missed(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json')
    whole = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    for image in (100, 103, 107):
        del predictions[image]
    found = coco_measures(tmp_path / 'truth.json', predictions, ['dog', 'cat', 'cow', 'hen'])
    assert list(found.values()) == pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    assert found['AP'] < whole['AP']


def test_no_detection_at_all_scores_nothing(tmp_path):
    predictions = make_coco(tmp_path / 'truth.json')
    found = coco_measures(tmp_path / 'truth.json', {image: [] for image in predictions}, ['dog', 'cat', 'cow', 'hen'])
    assert list(found.values()) == [0.0] * 6


def test_annotations_counted_from_zero_and_without_area_or_crowds(tmp_path):
    """pycocotools alone misses the object with id 0 and does not know what to do without ``area``."""
    predictions = make_coco(tmp_path / 'truth.json')
    content = json.loads((tmp_path / 'truth.json').read_text())
    content['annotations'] = [annotation for annotation in content['annotations'] if not annotation['iscrowd']]
    for annotation in content['annotations']:
        annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    for number, annotation in enumerate(content['annotations']):
        del annotation['area'], annotation['iscrowd']
        annotation['id'] = number
    (tmp_path / 'bare.json').write_text(json.dumps(content))
    classes = ['dog', 'cat', 'cow', 'hen']
    stats = pycocotools_stats(tmp_path / 'truth.json', predictions, [7, 3, 90, 12])
    assert list(coco_measures(tmp_path / 'truth.json', predictions, classes).values()) == stats
    assert list(coco_measures(tmp_path / 'bare.json', predictions, classes).values()) == stats


def voc_measures(images, classes):
    """``images``: (objects, difficult objects, detections), each a list of (box, label), with a score if detected."""
    results = {}
    for config in evaluators({'layout': 'voc'}):
        metric = METRICS.build(ConfigDict(config))
        metric.dataset_meta = {'classes': classes}
        for kinds in images:
            sample = {
                name: {
                    'bboxes': torch.tensor([entry[0] for entry in entries], dtype=torch.float32).reshape(-1, 4),
                    'labels': torch.tensor([entry[1] for entry in entries], dtype=torch.long),
                }
                for name, entries in zip(('gt_instances', 'ignored_instances', 'pred_instances'), kinds)
            }
            sample['pred_instances']['scores'] = torch.tensor([score for _, _, score in kinds[2]])
            metric.process({}, [sample])
        results.update(metric.evaluate(len(images)))
    return measures(results)


def test_voc_measures_by_hand():
    here, there, nowhere = [10, 10, 49, 49], [60, 60, 99, 99], [200, 200, 239, 239]
    # By descending score: found, wrong, found. Precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
    images = [([(here, 0), (there, 0)], [], [(here, 0, 0.9), (nowhere, 0, 0.8)]), ([(here, 0)], [], [(here, 0, 0.7)])]
    found = voc_measures(images, ['cell'])
    # 11 points: precision 1 at recall 0, 0.1, 0.2 and 0.3, 2/3 at 0.4, 0.5 and 0.6, else 0
    assert found['AP50_11point'] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert found['AP50_area'] == pytest.approx((1 + 2 / 3) / 3)
    # a difficult object need not be found, and finding it, even twice, is no mistake
    images.append(([], [(there, 0)], [(there, 0, 0.95), (there, 0, 0.93)]))
    assert voc_measures(images, ['cell']) == found
    # but in an image without boxes every detection is one: precision 1/2, 1/3, 1/2
    images.append(([], [], [(here, 0, 0.99)]))
    assert voc_measures(images, ['cell'])['AP50_area'] == pytest.approx((1 / 2 + 1 / 2) / 3)


def test_voc_overlap_must_reach_one_half():
    # boxes of 40 x 40 pixels, shifted by 13 or 14: IoU 27 / 53 = 0.509 and 26 / 54 = 0.481
    here = [10, 10, 49, 49]
    for shift, ap in [(13, 1.0), (14, 0.0)]:
        moved = [here[0] + shift, here[1], here[2] + shift, here[3]]
        assert voc_measures([([(here, 0)], [], [(moved, 0, 0.9)])], ['cell'])['AP50_area'] == pytest.approx(ap)


def iou(a, b):
    """Of boxes whose corners are pixels that belong to them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return width * height / (area - width * height)


def devkit_ap(images, label, overlap=0.5):
    """AP of a class by 11 points and by area, as the VOC development kit describes them."""
    objects = {
        image: [(box, hard, []) for hard in (False, True) for box, of in kinds[hard] if of == label]
        for image, kinds in enumerate(images)
    }
    number = sum(not hard for found in objects.values() for _, hard, _ in found)
    detections = [
        (score, image, box) for image, kinds in enumerate(images) for box, of, score in kinds[2] if of == label
    ]
    right, wrong, curve = 0, 0, []
    for _, image, box in sorted(detections, reverse=True):
        best = max(objects[image], key=lambda entry: iou(entry[0], box), default=None)
        if best is not None and iou(best[0], box) >= overlap:
            if best[1]:
                continue
            right, wrong = (right, wrong + 1) if best[2] else (right + 1, wrong)
            best[2].append(box)
        else:
            wrong += 1
        curve.append((right / number, right / (right + wrong)))

    def highest(recall):
        return max((p for r, p in curve if r >= recall), default=0.0)

    steps = sorted({r for r, _ in curve} | {0.0})
    area = sum((b - a) * highest(b) for a, b in pairwise(steps))
    # 3, 6 and 7 tenths are a last digit above 0.3, 0.6 and 0.7 in this as in mmdet's and the original Python code, so
    # that a recall of exactly 0.3 does not reach the fourth point
    return sum(highest(point * 0.1) for point in range(11)) / 11, area


def test_voc_measures_equal_the_devkits():
    rng = np.random.default_rng(1)
    images = []
    for _ in range(15):
        kinds = ([], [], [])
        for _ in range(rng.integers(0, 7)):
            x, y, width, height = (int(v) for v in (*rng.integers(0, 200, 2), *rng.integers(15, 80, 2)))
            box, label = [x, y, x + width, y + height], int(rng.integers(2))
            kinds[int(rng.random() < 0.25)].append((box, label))
            for _ in range(rng.integers(0, 3)):
                near = [int(v) for v in jitter(rng, np.array(box), 0.12)]
                kinds[2].append((near, label if rng.random() < 0.85 else 1 - label, float(rng.random())))
        images.append(kinds)
    found = voc_measures(images, ['cat', 'dog'])
    expected = np.mean([devkit_ap(images, label) for label in (0, 1)], axis=0)
    assert [found['AP50_11point'], found['AP50_area']] == pytest.approx(expected.tolist(), abs=1e-6)
    assert 0.1 < expected[1] < 0.9 and list(found) == ['AP50_11point', 'AP50_area', 'AP', 'class_AP50']
    for label, name in enumerate(['cat', 'dog']):
        assert found['class_AP50'][name] == pytest.approx(devkit_ap(images, label)[1], abs=1e-6)
    overlaps = [0.5 + 0.05 * step for step in range(10)]
    areas = [devkit_ap(images, label, overlap)[1] for label in (0, 1) for overlap in overlaps]
    assert found['AP'] == pytest.approx(np.mean(areas), abs=1e-6) and found['AP'] < found['AP50_area']


def test_classes_without_an_object_are_no_part_of_the_mean():
    here = [10, 10, 49, 49]
    found = voc_measures([([(here, 0)], [], [(here, 0, 0.9), (here, 1, 0.8)])], ['cell', 'hen'])
    assert found == {'AP50_11point': 1.0, 'AP50_area': 1.0, 'AP': 1.0, 'class_AP50': {'cell': 1.0}}
    assert voc_measures([([(here, 0)], [], [])], ['cell'])['AP50_area'] == 0.0
