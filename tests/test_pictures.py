"""Pictures of a detector, and the matching behind them."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import detector_config, files_up_to, write_coco, write_voc
from mmdet.evaluation import eval_map

from mmnetaug.apis.inference import found
from mmnetaug.apis.overrides import gray_options
from mmnetaug.apis.train import train_detector
from mmnetaug.engine.hooks import pictures_hook
from mmnetaug.errors import printable
from mmnetaug.evaluation.matching import ImageResult, best_threshold, confusion_matrix, precision_recall
from mmnetaug.records import save_image, written_list
from mmnetaug.visualization.fonts import drawable_names
from mmnetaug.visualization.plots import (
    plot_ap_against_macs,
    plot_confusion,
    plot_curves,
    plot_precision_recall,
    plot_run,
)
from mmnetaug.visualization.sheets import BoxPainter

PICTURES = ('train_batch.jpg', 'test_batch.jpg', 'precision_recall.png', 'confusion_matrix.png', 'curves.png')
HOOKS = {
    'default_hooks.pictures': {'type': 'mmnetaug.PicturesHook'},
    'default_hooks.results': {'type': 'mmnetaug.ResultsHook'},
}


def result(true=(), found=(), ignored=()):
    """``true``: (label, x1, y1, x2, y2); ``found``: the same after a score."""
    true, found, ignored = (np.array(v, np.float32).reshape(-1, n) for v, n in ((true, 5), (found, 6), (ignored, 5)))
    return ImageResult(
        'a.jpg', found[:, 2:], found[:, 0], found[:, 1].astype(int), true[:, 1:], true[:, 0].astype(int),
        ignored[:, 1:], ignored[:, 0].astype(int),
    )  # fmt: skip


def test_windows_of_a_program_stay_its_own():
    program = (
        "import matplotlib; matplotlib.use('svg'); import mmnetaug.visualization.panels, mmnetaug.visualization.plots"
    )
    program += '; from matplotlib import pyplot; print(matplotlib.get_backend(), pyplot.get_fignums())'
    assert subprocess.check_output([sys.executable, '-c', program], text=True) == 'svg []\n'


A, NEARLY_A, B, FAR = (0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 40, 40), (60, 60, 70, 70)


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        ([result([(0, *A)], [(0.9, 0, *NEARLY_A)])], {(0, 0): 1}),
        ([result([(0, *A)], [(0.9, 1, *A)])], {(0, 1): 1}),  # taken for another class
        ([result([(0, *A)])], {(0, 2): 1}),  # missed
        ([result([(0, *A)], [(0.4, 0, *A)])], {(0, 2): 1}),  # below the threshold
        ([result([(0, *A)], [(0.5, 0, *A)])], {(0, 0): 1}),  # just the threshold
        ([result([], [(0.9, 1, *B)])], {(2, 1): 1}),  # of nothing
        ([result([(0, *A)], [(0.9, 0, *A), (0.8, 0, *A)])], {(0, 0): 1, (2, 0): 1}),  # found twice
        # the right class before a larger overlap
        ([result([(0, *A)], [(0.9, 1, *A), (0.8, 0, *NEARLY_A)])], {(0, 0): 1, (2, 1): 1}),
        # two objects of one place: a class each
        ([result([(0, *A), (1, *NEARLY_A)], [(0.9, 1, *A), (0.8, 0, *NEARLY_A)])], {(0, 0): 1, (1, 1): 1}),
        ([result([], [(0.9, 0, *A), (0.9, 0, *B)], [(0, *A)])], {(2, 0): 1}),  # what is ignored counts neither way
        ([result([(0, *A), (1, *B)], [(0.9, 0, *FAR)]), result([(1, *B)], [(0.9, 1, *B)])],
         {(0, 2): 1, (1, 2): 1, (2, 0): 1, (1, 1): 1}),
    ],
)  # fmt: skip
def test_confusion_by_hand(images, expected):
    matrix = confusion_matrix(images, 2, 0.5)
    assert {place: count for place, count in np.ndenumerate(matrix) if count} == expected


def test_precision_recall_by_hand():
    images = [result([(0, *A), (0, *B)], [(0.9, 0, *A), (0.6, 0, *FAR), (0.5, 0, *B)]), result([(1, *A)])]
    curve = precision_recall(images, 0)
    assert curve.recall.tolist() == [0.5, 0.5, 1] and curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    missed = precision_recall(images, 1)
    assert missed.ap == 0 and missed.objects == 1 and precision_recall(images, 2) is None
    # 3 objects: F1 is 2/4 from 0.9 on, 2/5 from 0.6 on, 4/6 from 0.5 on
    assert best_threshold([curve, missed]) == pytest.approx((0.5, 4 / 6))
    assert best_threshold([missed]) == (0, 0)
    # a threshold takes all detections of one score: of 0.9 both, one of which is right
    equal = result([(0, *A)], [(0.9, 0, *A), (0.9, 0, *FAR)])
    assert best_threshold([precision_recall([equal], 0)]) == pytest.approx((0.9, 2 / 3))
    # detections of something ignored count neither way
    ignored = result([(0, *A), (0, *B)], [(0.8, 0, *A), *[(0.5, 0, *FAR)] * 5, (0.3, 0, *B)], [(0, *FAR)])
    assert best_threshold([precision_recall([ignored], 0)]) == pytest.approx((0.3, 1))


@pytest.mark.parametrize('legacy', [False, True])
def test_precision_recall_is_mmdets(legacy):
    rng = np.random.default_rng(0)

    def boxes(n):
        corners = rng.uniform(0, 60, (n, 2))
        return np.hstack([corners, corners + rng.uniform(5, 40, (n, 2))]).astype(np.float32)

    images, theirs, truth = [], [], []
    for _ in range(20):
        true, labels, ignored = boxes(5), rng.integers(0, 2, 5), boxes(1)
        found = np.concatenate([true + rng.normal(0, 2, true.shape).astype(np.float32), boxes(5)])
        scores, taken = rng.random(10).astype(np.float32), rng.integers(0, 2, 10)
        images.append(ImageResult('a', found, scores, taken, true, labels, ignored, np.zeros(1, int)))
        theirs.append([np.hstack([found, scores[:, None]])[taken == label] for label in (0, 1)])
        truth.append({'bboxes': true, 'labels': labels, 'bboxes_ignore': ignored, 'labels_ignore': np.zeros(1, int)})
    _, expected = eval_map(theirs, truth, logger='silent', nproc=1, use_legacy_coordinate=legacy)
    for label in (0, 1):
        curve = precision_recall(images, label, legacy)
        assert curve.ap == pytest.approx(expected[label]['ap'], abs=1e-6) and 0.05 < curve.ap < 0.95
        np.testing.assert_allclose(curve.recall, expected[label]['recall'], rtol=1e-6)


def test_a_finished_detector_has_its_pictures(voc, tmp_path, monkeypatch):
    """And drawing them changes nothing in the training; boxes are as long as in the measures of the validation."""
    curves = {}

    def measured(images, label, legacy):
        assert legacy
        curves[label] = precision_recall(images, label, legacy)
        return curves[label]

    monkeypatch.setattr(pictures_hook, 'precision_recall', measured)
    drawn = train_detector(detector_config(voc, tmp_path / 'drawn', size=96, epochs=1, **HOOKS))
    for name in PICTURES:
        picture = cv2.imread(str(tmp_path / 'drawn' / name))
        assert picture.shape[0] > 200 and picture.std() > 10, name
    assert [curve.ap for curve in curves.values()] == pytest.approx(list(drawn['class_AP50'].values()), abs=1e-6)
    plain = train_detector(detector_config(voc, tmp_path / 'plain', size=96, epochs=1))
    assert not any((tmp_path / 'plain' / name).exists() for name in PICTURES)
    weights = [torch.load(tmp_path / name / 'export.pth')['state_dict'] for name in ('drawn', 'plain')]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    best = torch.load(tmp_path / 'drawn' / 'best.pth')
    assert best['meta']['best'] == drawn['best'] and drawn['best']['epoch'] == 1 and best['meta']['classes']
    assert drawn['AP50_area'] == plain['AP50_area']


@pytest.mark.parametrize('name', ['yolov3_netaug_voc', 'rtmdet_baseline_voc'])
def test_any_head_gray_and_not_square(tmp_path, name, capsys):
    """With Chinese names of classes."""
    objects = [('猫', 11, 11, 31, 31, 0), ('狗', 30, 20, 60, 44, 1)]
    write_voc(tmp_path / 'voc', dict.fromkeys('abcd', objects), {'trainval': list('abc'), 'test': ['d']})
    config = detector_config(tmp_path / 'voc', tmp_path / 'run', name, size=(128, 96), epochs=1, **HOOKS)
    config.merge_from_dict(gray_options(config))
    train_detector(config)
    assert 'could not be drawn' not in capsys.readouterr().out
    assert all((tmp_path / 'run' / name).is_file() for name in PICTURES)


def test_coco_layout_and_a_picture_that_cannot_be_drawn(tmp_path, capsys):
    images = {f'{name}.jpg': [(1, 10, 10, 20, 20)] for name in 'abc'}
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path / 'coco', split, images, categories=['cell'])
    config = detector_config(tmp_path / 'coco', tmp_path / 'run', 'ssdlite_baseline_coco', size=96, epochs=1, **HOOKS)
    config.allow_overlap = True
    (tmp_path / 'run' / 'confusion_matrix.png').mkdir(parents=True)
    result = train_detector(config)
    assert result['class_AP50'] == {'cell': pytest.approx(result['AP50'])}
    printed = capsys.readouterr().out
    assert printed.count('could not be drawn') == 1 and 'confusion_matrix.png could not be drawn' in printed
    assert (tmp_path / 'run' / 'precision_recall.png').is_file()


def test_eighty_classes(tmp_path):
    rng = np.random.default_rng(0)
    names = [f'class number {number}' for number in range(80)]
    images = [result([(n, *A), (79 - n, *B)], [(rng.random(), n, *A), (0.5, n, *B)]) for n in range(80)]
    curves = {name: precision_recall(images, label) for label, name in enumerate(names)}
    picture = cv2.imread(str(plot_precision_recall(curves, tmp_path / 'pr.png')))
    assert picture.shape[1] < 2000
    picture = cv2.imread(str(plot_confusion(confusion_matrix(images, 80, 0.3), names, tmp_path / 'c.png')))
    assert picture.shape[0] < 3000
    names = [f'class_{number} {"of a long name " * 20}' for number in range(600)]
    svg = plot_confusion(np.eye(601, dtype=int), names, tmp_path / 'c.svg').read_text()
    written = [int(number) for number in re.findall(r'<!-- class_(\d+) of a long', svg)]
    assert sorted(written) == sorted(2 * list(range(0, 600, 6)))


def test_more_classes_than_coco_has_colours():
    painter = BoxPainter([f'class number {number}' for number in range(300)])
    plain = np.full((40, 60, 3), 128, np.uint8)
    drawn = painter(plain, np.array([[5, 5, 30, 30]]), np.array([299]), np.array([0.9], np.float32))
    assert (drawn != 128).any()


def test_names_that_mean_something_to_matplotlib_or_a_terminal(tmp_path):
    names = ['$\\frac$', '_hidden', 'two\nlines', '\x1b[31mred']
    drawn = drawable_names(names)
    assert drawn == ['$\\frac$', '_hidden', 'class 2', 'class 3']
    curves = {name: precision_recall([result([(0, *A)], [(0.9, 0, *A)])], 0) for name in drawn}
    assert plot_precision_recall(curves, tmp_path / 'pr.png').is_file()
    assert plot_confusion(np.eye(5, dtype=int), drawn, tmp_path / 'c.png').is_file()
    assert printable('\x1b[31mred\ttwo\nlines') == '\\x1b[31mred\ttwo\nlines'


def test_infer_counts_images_that_have_objects(tmp_path):
    pictures = [tmp_path / 'vis' / f'{name}.jpg' for name in 'abc']
    with written_list(tmp_path / 'predictions.json') as write:
        for number in (2, 2, 0):
            write({'image_id': number})
    assert json.loads((tmp_path / 'predictions.json').read_text()) == [{'image_id': n} for n in (2, 2, 0)]
    assert found(pictures, tmp_path, 0.3).startswith('3 objects of score 0.3 or more in 2 of 3 images. Pictures: ')
    with written_list(tmp_path / 'predictions.json'):
        pass
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []
    assert found(pictures, tmp_path, 0.3).startswith('0 objects of score 0.3 or more in 0 of 3 images; a lower')


def test_a_picture_stays_whole_on_a_full_disk(tmp_path):
    save_image(tmp_path / 'a.png', np.zeros((8, 8, 3), np.uint8))
    before = (tmp_path / 'a.png').read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with files_up_to(1000), pytest.raises(OSError):
        save_image(tmp_path / 'a.png', noise)
    assert (tmp_path / 'a.png').read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    save_image(tmp_path / 'a.png', noise)
    assert (cv2.imread(str(tmp_path / 'a.png')) == noise).all()


@pytest.mark.parametrize('found', [0, 2])
def test_a_list_that_ends_early_keeps_what_was_found(tmp_path, found):
    (tmp_path / 'a.json').write_text('[1]')
    with pytest.raises(KeyboardInterrupt), written_list(tmp_path / 'a.json') as write:
        for number in range(found):
            write({'image_id': number})
        raise KeyboardInterrupt
    assert json.loads((tmp_path / 'a.json').read_text()) == ([{'image_id': 0}, {'image_id': 1}] if found else [1])
    assert [path.name for path in tmp_path.iterdir()] == ['a.json']


def test_boxes_and_names_are_drawn_where_they_are():
    painter, plain = BoxPainter(['cat', 'собака']), np.full((300, 400, 3), 128, np.uint8)
    boxes = np.array([[50.0, 100, 150, 200], [300, 0, 420, 60]], np.float32)  # one reaches beyond the border
    drawn = painter(plain, boxes, np.array([0, 1]), np.array([0.9, 0.25], np.float32))
    changed = (drawn != 128).any(2)
    inside, ring = changed[110:190, 60:140], changed[100, 50:151]
    assert not inside.any() and ring.all() and changed[0:61, 300:302].all() and changed[0:15, 305:400].any()
    label = changed[:99]  # above its box
    assert label[92:99, 50:85].mean() > 0.8 and not label[:, :50].any() and not label[:80, 50:150].any()
    assert (painter(plain, boxes[:0], np.zeros(0, int)) == 128).all() and (plain == 128).all()
    many, few = (painter(np.zeros((side, side, 3), np.uint8), boxes[:1], np.array([0])) for side in (2000, 400))
    assert (many != 0).any(2).sum() > 4 * (few != 0).any(2).sum(), 'thicker lines and larger letters'


def test_one_point_has_sane_axes(tmp_path):
    row = {'name': 'a', 'macs': 2e7, 'AP50': 0.4}
    svg = plot_ap_against_macs([row], tmp_path / 'one.svg').read_text()
    ticks = [line.split('<!--')[1].split('-->')[0].strip() for line in svg.splitlines() if '<!--' in line]
    assert {'18.0', '20.0', '22.0'} <= set(ticks), 'round numbers around the point'
    assert plot_curves({'a': [[(1, 0.5)]]}, tmp_path / 'epoch.png', 'x').is_file()


def test_curves_of_measures_with_a_prefix(tmp_path):
    by_class = {'AP50/a': '0.3', 'coco/AP50/a': '0.3'}
    row = {'epoch': '1', 'loss': '2', 'pascal_voc/mAP': '0.2', 'own/loss': 'nan', **by_class}
    svg = plot_run([row, {**row, 'epoch': '2', 'own/loss': '0.5'}], tmp_path / 'curves.svg').read_text()
    names = {line.split('<!--')[1].split('-->')[0].strip() for line in svg.splitlines() if '<!--' in line}
    assert names & row.keys() == {'epoch', 'loss', 'pascal_voc/mAP', 'own/loss'}
