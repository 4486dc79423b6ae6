"""Benchmarks and pictures."""

import csv
import json
import os
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import cv2
import pytest
import torch
from helpers import ROOT, detector_config, write_voc

from mmnetaug import InputError
from mmnetaug.apis.benchmark import benchmark, draw_deployed, markdown_table
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import worker_options
from mmnetaug.apis.test import build_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.cli.benchmark import checkpoint_names
from mmnetaug.engine.history import read_history
from mmnetaug.evaluation.speed import measure_inference, measure_training
from mmnetaug.visualization import plot_ap_against_macs, plot_curves

MODULE = sys.modules['mmnetaug.apis.benchmark']  # whose name in mmnetaug.apis is that of its function
CONFIG = ROOT / 'configs/det/ssdlite_netaug_voc.py'
MEASURED = ('arch', 'size', 'AP50_area', 'AP50_11point', 'macs', 'params', 'head_share')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """A data set and the checkpoint of a detector that was trained on it for a moment."""
    folder = tmp_path_factory.mktemp('benchmark')
    images = {name: [('cat', 11, 11, 31, 31, 0), ('dog', 30, 20, 60, 44, 0)] for name in 'abcdef'}
    write_voc(folder / 'voc', images, {'trainval': list('abcd'), 'test': ['e', 'f']})
    result = train_detector(detector_config(folder / 'voc', folder / 'run', epochs=1))
    return folder / 'voc', result


def test_table_json_csv_and_picture_agree(detector, tmp_path):
    voc, result = detector
    # of a config only the data set counts
    config = read_config(CONFIG, 'det')
    config.merge_from_dict(worker_options(config, 0))
    checkpoints = [result['checkpoint'], result['checkpoint'].replace('export', 'epoch_1')]
    rows = benchmark(checkpoints, ['export', 'of training'], tmp_path / 'out', config, str(voc))
    assert [row['name'] for row in rows] == ['export', 'of training']
    for name in MEASURED:
        assert rows[0][name] == rows[1][name] == result[name]
    report = json.loads((tmp_path / 'out/benchmark.json').read_text())
    assert report['detectors'] == rows and report['data_root'] == str(voc)
    with open(tmp_path / 'out/benchmark.csv', encoding='utf-8') as file:
        assert [int(row['macs']) for row in csv.DictReader(file)] == [result['macs']] * 2
    assert (tmp_path / 'out/benchmark.md').read_text() == markdown_table(rows)
    assert cv2.imread(str(tmp_path / 'out/benchmark.png')).shape[0] > 300


def test_without_average_precision_there_is_a_table_and_no_picture(detector, tmp_path):
    """As mmdet's ``CocoMetric`` has it, whose names are others, and of a backbone that is not ours."""
    _, result = detector
    nothing = {'arch': None, 'AP': None, 'AP50': None, 'AP50_area': None, 'AP50_11point': None}
    scores = {**result, **nothing}
    with mock.patch.object(MODULE, 'test_detector', lambda *_: scores):
        benchmark([result['checkpoint']], ['its'], tmp_path / 'out')
    assert (tmp_path / 'out/benchmark.md').read_text().splitlines()[2].startswith('| its | - | 96 | - | - |')
    assert not list((tmp_path / 'out').glob('*.png'))


def test_what_was_measured_outlasts_a_later_failure(detector, tmp_path, monkeypatch):
    _, result = detector
    monkeypatch.setattr(MODULE, 'test_detector', mock.Mock(side_effect=[result, KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        benchmark([result['checkpoint']] * 2, ['first', 'second'], tmp_path / 'out')
    (row,) = json.loads((tmp_path / 'out/benchmark.json').read_text())['detectors']
    assert row['name'] == 'first' and row['AP'] == result['AP']


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/benchmark.py'), run_name='__main__')


def test_the_tool_needs_checkpoints_alone(detector, tmp_path, monkeypatch, capsys):
    voc, result = detector
    run_tool(monkeypatch, result['checkpoint'], '--out', tmp_path / 'out')
    report = json.loads((tmp_path / 'out/benchmark.json').read_text())
    (row,) = report['detectors']
    assert row['name'] == 'run' and all(row[name] == result[name] for name in MEASURED)
    assert report['data_root'] == str(voc)
    assert (tmp_path / 'out/benchmark.md').read_text() in capsys.readouterr().out
    named = ['--test-ann', voc / 'Annotations', '--test-img', voc / 'JPEGImages']
    run_tool(monkeypatch, CONFIG, *named, result['checkpoint'], '--out', tmp_path / 'named')
    report = json.loads((tmp_path / 'named/benchmark.json').read_text())
    assert report['data_root'] == str(voc / 'Annotations') and report['detectors'][0]['AP50_area'] is not None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([CONFIG], 'expected at most one config, and checkpoints'),
        ([CONFIG, CONFIG, 'a.pth'], 'expected at most one config, and checkpoints'),
        (['a.pth', '--names', 'a', 'b'], 'a b for 1 checkpoints: expected a name of its own for each'),
        (['nowhere.pth'], 'no checkpoint at nowhere.pth'),
        (['nowhere.py', 'a.pth'], 'no config at nowhere.py'),
    ],
)
def test_wrong_arguments(arguments, message, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('checkpoints', 'names', 'message'),
    [
        (['a.pth', 'b.pth'], ['a'], 'a for 2 checkpoints: expected a name of its own for each'),
        (['a.pth', 'b.pth'], ['a', 'a'], 'a a for 2 checkpoints'),
        ([], [], 'no checkpoints: expected at least one'),
        ('a.pth', ['a'], r"a.pth alone: expected lists, such as \['a.pth'\]"),
        (['a.pth'], 'a', 'a alone: expected lists'),
    ],
)
def test_a_name_for_each(checkpoints, names, message, tmp_path):
    with pytest.raises(InputError, match=message):
        benchmark(checkpoints, names, tmp_path / 'out')


def test_detectors_that_were_tested_on_other_data_each(detector, tmp_path):
    _, result = detector
    other = torch.load(result['checkpoint'])
    other['meta']['config']['test_dataloader']['dataset']['data_root'] = 'data/other'
    torch.save(other, tmp_path / 'other.pth')
    with pytest.raises(InputError, match=r'different data, .*/voc.* and .*data/other.*: give a config or --data-root'):
        benchmark([result['checkpoint'], tmp_path / 'other.pth'], ['a', 'b'], tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_detectors_of_different_classes_stand_beside_each_other_with_a_word(detector, tmp_path, monkeypatch):
    """The same data by another path is the same."""
    voc, result = detector
    fewer = torch.load(result['checkpoint'])
    dataset = fewer['meta']['config']['test_dataloader']['dataset']
    dataset['data_root'], dataset['metainfo'] = os.path.relpath(voc), {'classes': ['cat', 'bird']}
    fewer['meta']['classes'] = ['cat', 'bird']
    torch.save(fewer, tmp_path / 'fewer.pth')
    said = []
    monkeypatch.setattr(MODULE, 'print_log', lambda message, *_: said.append(message))
    rows = benchmark([result['checkpoint'], tmp_path / 'fewer.pth'], ['a', 'b'], tmp_path / 'out')
    assert said == ['the detectors know different classes (2, 2 of them): each AP is the mean over its own']
    assert [row['num_classes'] for row in rows] == [2, 2] and '| num_classes |' in (
        tmp_path / 'out/benchmark.md'
    ).read_text()


def test_latency_contains_nms(detector):
    _, result = detector
    speed = measure_inference(build_detector(result['checkpoint']), result['size'], repeats=6)
    assert speed['latency_ms'] > 0 and 0 < speed['nms_share'] < 1


def test_training_speed_has_a_figure_for_each_step():
    speed = measure_training('mobilenetv2_w0.1', size=32, batch=4, repeats=2)
    assert all(speed[f'{name}_images_per_s'] > 0 for name in ('plain_nchw', 'plain', 'netaug'))
    with pytest.raises(InputError, match='batch is 0'):
        measure_training('mobilenetv2_tiny', 32, 0)


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['a/export.pth', 'b/export.pth', 'b/export.onnx'], ['a', 'b', 'b/export.onnx']),
        (['a/export.pth', 'a/best.pth'], ['a/export.pth', 'a/best.pth']),
        (['a/run/export.pth', 'b/run/export.pth'], ['a/run/export.pth', 'b/run/export.pth']),
    ],
)
def test_names_are_different(paths, names):
    assert checkpoint_names([Path('/', path) for path in paths]) == names


def test_markdown_table():
    rows = [{'name': 'a', 'arch': 'mcunet', 'size': 320, 'AP50': 0.5, 'macs': 2_000_000, 'latency_ms': 12.34}]
    assert markdown_table(rows).splitlines()[0] == '| detector | arch | size | AP50 | macs | latency_ms |'
    assert markdown_table(rows).splitlines()[2] == '| a | mcunet | 320 | 0.500 | 2.00 M | 12.3 |'
    rows.append({**rows[0], 'size': (160, 128), 'peak_memory': 230592})  # beside a row of before it was measured
    assert [line.split(' | ')[2:6:3] for line in markdown_table(rows).splitlines()] == [
        ['size', 'peak_memory'],
        ['---', '---'],
        ['320', '-'],
        ['160x128', '225 KB'],
    ]
    own = {'name': 'b', 'arch': 'mcunet', 'size': 320, 'pascal_voc_mAP': 0.25, 'macs': 2_000_000, 'latency_ms': 12.34}
    beside = [line.split(' | ')[3:5] for line in markdown_table([own, rows[0]]).splitlines()]
    assert beside == [['pascal_voc_mAP', 'AP50'], ['---', '---'], ['0.250', '-'], ['-', '0.500']]
    of_mmdet = {**rows[0], 'arch': None}  # a backbone that is not ours
    assert markdown_table([of_mmdet]).splitlines()[2] == '| a | - | 320 | 0.500 | 2.00 M | 12.3 |'


def write_log(folder, records):
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(record) + '\n' for record in records))


def test_history_joins_resumed_parts(tmp_path):
    write_log(
        tmp_path / '20260101_000000/vis_data',
        [
            {'epoch': 1, 'step': 10, 'loss': 4.0},
            {'epoch': 1, 'step': 20, 'loss': 2.0},
            {'top1': 10.0, 'step': 1},
            {'epoch': 2, 'step': 30, 'loss': 9.0},  # lost: the run was stopped in this epoch
        ],
    )
    write_log(
        tmp_path / '20260102_000000/vis_data',
        [{'epoch': 2, 'step': 30, 'loss': 1.0}, {'top1': 20.0, 'step': 2}],
    )
    assert read_history(tmp_path, 'loss') == [(1, 3.0), (2, 1.0)]
    assert read_history(tmp_path, 'top1') == [(1, 10.0), (2, 20.0)]
    write_log(tmp_path / '20260103_000000/vis_data', [{'epoch': 2, 'step': 40, 'loss': 4.0}])  # in the middle of it
    assert read_history(tmp_path, 'loss') == [(1, 3.0), (2, 2.5)]


def test_pictures_are_drawn(tmp_path):
    rows = [{'name': n, 'macs': m, 'AP50': a} for n, m, a in [('x', 1e7, 0.4), ('y', 2e7, 0.5)]]
    assert plot_ap_against_macs(rows, tmp_path / 'ap.svg').read_text().startswith('<?xml')
    runs = {'baseline': [[(1, 10.0), (2, 20.0)], [(1, 12.0), (2, 22.0)]], 'NetAug': [[(1, 9.0), (2, 25.0)]]}
    picture = cv2.imread(str(plot_curves(runs, tmp_path / 'curves.png', 'top-1 (%)')))
    assert picture.std() > 5
    with pytest.raises(InputError, match='a: its runs were validated after no epoch in common'):
        plot_curves({'a': [[(1, 10.0)], [(2, 12.0)]]}, tmp_path / 'none.png', 'top-1 (%)')


def test_int8_against_memory_is_drawn_from_the_recorded_rows(tmp_path):
    """One picture for each data set, of the detectors that a microcontroller runs."""
    rows = [
        {'data': data, 'route': route, 'head': head, 'arch': 'mcunet', 'AP50_area': ap, 'peak_memory': 1024 * kilobytes}
        for data, head, ap, kilobytes in [('voc', 'GFL', 0.4, 500), ('voc', 'SSD', 0.5, 700), ('bccd', 'SSD', 0.8, 600)]
        for route in ('TFLite', 'TFLite int8')
    ]
    (tmp_path / 'deploy.json').write_text(json.dumps({'rows': rows}))
    with mock.patch.object(MODULE, 'plot_ap_against_macs', wraps=plot_ap_against_macs) as drawn:
        pictures = draw_deployed(tmp_path / 'deploy.json')
    assert [path.name for path in pictures] == ['int8_ap50_memory_voc.png', 'int8_ap50_memory_bccd.png']
    assert [[row['name'] for row in call.args[0]] for call in drawn.call_args_list] == [
        ['GFL on mcunet', 'SSD on mcunet'],
        ['SSD on mcunet'],
    ]
    assert all(cv2.imread(str(path)).std() > 5 for path in pictures)


def test_a_difference_of_hundredths_of_a_point_does_not_look_large(tmp_path):
    """The picture covers two points or more: of two, an eighth is a sixteenth; 50 points fill most of it."""
    heights = []
    for ap in (0.145, 0.14625), (0.2, 0.7):
        rows = [{'name': name, 'macs': 1e7, 'AP50': value} for name, value in zip(('baseline', 'NetAug'), ap)]
        svg = plot_ap_against_macs(rows, tmp_path / 'ap.svg').read_text()
        height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1])
        markers = re.findall(r'<g clip-path.*?>\s*<use xlink:href="#\w+" x="[\d.]+" y="([\d.]+)"', svg)
        assert len(markers) == 2
        heights.append((float(markers[0]) - float(markers[1])) / height)
    assert 0 < heights[0] < 1 / 16 and heights[1] > 0.5
