"""Figure 5: the picture with its table, and the graph of runs behind it."""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import cv2
import pytest
import torch
from helpers import ROOT, ap_curves, ap_points, carry_out, missing, pretend, read_table

from mmnetaug import InputError, build_network
from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.records import RESULT_VERSION
from mmnetaug.workflow import graph
from mmnetaug.workflow.fig5 import METHODS, Settings, draw_fig5, plan_fig5, redraw_fig5
from mmnetaug.workflow.graph import run_plan

FRACTION = re.compile(r'-?\d+\.\d+(?:e-?\d+)?')
# The figure


def write_report(folder, rows, layout='voc', **changes):
    folder.mkdir(parents=True)
    settings = {'arch': 'mobilenetv2_tiny', 'data': 'data/pets', 'epochs': 9, 'layout': layout, 'head_name': 'SSDLite'}
    report = {'version': RESULT_VERSION, 'figure': 'fig5', 'settings': settings, 'points': rows, **changes}
    (folder / 'fig5.json').write_text(json.dumps(report))
    return folder


def test_figure_from_results(tmp_path):
    rows = ap_curves(0.6, 0.7, 0.25)
    old, new = write_report(tmp_path / 'old', rows), tmp_path / 'new'
    report = redraw_fig5(old, new)
    assert sorted(path.name for path in new.iterdir()) == ['fig5.json', 'fig5.md', 'fig5.png', 'fig5.svg']
    assert json.loads((new / 'fig5.json').read_text()) == json.loads(json.dumps(report))
    key = lambda row: (row['method'], row['size'], row['seed'])  # noqa: E731
    assert sorted(report['points'], key=key) == sorted(rows, key=key)
    assert 'NetAug needs 25.0% fewer MACs' in report['headline']

    picture = cv2.imread(str(new / 'fig5.png'))
    assert picture.std() > 5 and (new / 'fig5.svg').read_text().startswith('<?xml')
    # blue, vermilion and green (BGR): all three methods are drawn
    for colour in [(0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5), (0x73, 0x9E, 0x00)]:
        assert (abs(picture.astype(int) - colour).max(axis=2) < 8).sum() > 100

    text = (new / 'fig5.md').read_text()
    assert report['headline'] in text
    means = read_table(text, '| method | size (px) | MACs (M) |')
    assert ['baseline', '96', '10.00', '61.00 ± 1.41', '2'] in means and len(means) == 6
    every = read_table(text, '| method | size (px) | seed |')
    names = {label: method for method, label in METHODS.items()}
    found = [(names[name], int(size), int(seed), float(ap)) for name, size, seed, _, ap in every]
    assert sorted(found) == sorted((*key(row), round(100 * row['AP50_area'], 2)) for row in rows)


@pytest.mark.parametrize(
    'folder',
    [
        'fig1',
        'fig1/rates',
        'fig3',
        'fig4',
        'fig4/rates',
        'fig4/tiny_imagenet',
        'fig5/ssdlite',
        'fig5/yolov3',
        'fig5/voc_animals',
        'lr',
    ],
)
def test_figures_of_this_repository(folder, tmp_path, monkeypatch):
    """What earlier releases measured is drawn again with the same words and numbers."""
    figure, kept = folder[:4], ROOT / 'results' / folder
    command = ['figures.py', figure, '--from-results', str(kept), '--out', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', command)
    runpy.run_path(str(ROOT / 'tools/figures.py'), run_name='__main__')
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in kept.glob(f'{figure}*')}
    assert (tmp_path / f'{figure}.md').read_bytes() == (kept / f'{figure}.md').read_bytes()
    drawn, before = ((folder / f'{figure}.json').read_text() for folder in (tmp_path, kept))
    assert FRACTION.sub('', drawn) == FRACTION.sub('', before)
    numbers = [list(map(float, FRACTION.findall(text))) for text in (drawn, before)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)  # another NumPy or SciPy rounds otherwise


def test_drawing_again_takes_no_options_of_what_to_draw(tmp_path, monkeypatch, capsys):
    """What would be ignored is refused."""
    for figure, options, named in (
        ('lr', ['--rates', '0.1', '--seeds', '0'], '--rates, --seeds'),
        ('fig5/ssdlite', ['--sizes', '160', '--no-training'], '--sizes, --no-training'),
    ):
        command = ['figures.py', figure[:4].rstrip('/'), '--from-results', str(ROOT / 'results' / figure), *options]
        monkeypatch.setattr(sys, 'argv', [*command, '--out', str(tmp_path / 'out')])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / 'tools/figures.py'), run_name='__main__')
        said = capsys.readouterr().err
        assert end.value.code == 2 and all(option in said for option in named.split(', ')) and 'leave out' in said
    assert not (tmp_path / 'out').exists()


def test_coco_has_two_panels(tmp_path):
    """So have results in VOC layout that hold COCO's AP, as they do now."""
    rows = ap_curves(0.6, 0.7, 0.25)
    both = [{**row, 'AP50': row['AP50_area'], 'AP': row['AP50_area'] / 2} for row in rows]
    report = redraw_fig5(write_report(tmp_path / 'coco', both, 'coco'), tmp_path / 'coco')
    redraw_fig5(write_report(tmp_path / 'voc', rows), tmp_path / 'voc')
    assert redraw_fig5(write_report(tmp_path / 'now', both), tmp_path / 'now')['comparisons'][-1]['measure'] == 'AP'
    wide, narrow = (cv2.imread(str(tmp_path / layout / 'fig5.png')).shape[1] for layout in ('coco', 'voc'))
    assert wide > 1.5 * narrow
    assert [row['measure'] for row in report['comparisons']] == ['AP50', 'AP50', 'AP', 'AP']
    assert '| method | size (px) | MACs (M) | AP50 (%) | AP (%) | seeds |' in (tmp_path / 'coco/fig5.md').read_text()


def test_further_lines_and_memory(tmp_path):
    """A line with a name of its own, and int8 of some points: four times the memory at twice the side."""
    rows = ap_curves(0.6, 0.7, 0.25)
    rows += [{**row, 'method': 'random start', 'AP50_area': 0.3} for row in rows if row['method'] == 'baseline']
    for row in rows:
        if row['seed'] == 0:
            row |= {'int8_AP50_area': row['AP50_area'] - 0.1, 'peak_memory': 10 * row['size'] ** 2}
    folder = write_report(tmp_path / 'fig', rows)
    content = json.loads((folder / 'fig5.json').read_text())
    content['settings']['names'] = {**METHODS, 'random start': 'random start'}
    (folder / 'fig5.json').write_text(json.dumps(content))
    report = redraw_fig5(folder, folder)
    assert cv2.imread(str(folder / 'fig5_memory.png')).std() > 5 and (folder / 'fig5_memory.svg').is_file()

    said = {(row['method'], row['measure']): row for row in report['comparisons']}
    assert said['random start', 'AP50_area']['text'].startswith('No overlap')
    saved = said['netaug', 'int8_AP50_area']
    assert saved['cost'] == 'peak_memory' and 'fewer bytes of peak memory than the baseline' in saved['text']
    assert [row['seeds'] for row in saved['differences']] == [1, 1]
    text = (folder / 'fig5.md').read_text()
    assert 'fig5_memory.png' in text
    means = read_table(text, '| method | size (px) | MACs (M) | peak memory (KB) | AP50 (%) | int8 AP50 (%) | seeds |')
    assert ['baseline', '96', '10.00', '90.00', '61.00 ± 1.41', '50.00 (1 seed)', '2'] in means
    assert [row[5] for row in means if row[0] == 'random start'] == ['20.00 (1 seed)'] * 2


def test_runs_that_are_missing(tmp_path):
    """Only runs that both methods have are compared, and what is said to be a mean of seeds is one."""
    rows = [row for row in ap_curves(0.6, 0.7, 0.25) if row['method'] != 'baseline_mixup']
    few = [row for row in rows if not (row['method'] == 'netaug' and row['size'] == 128 and row['seed'] == 1)]
    folder = write_report(tmp_path / 'few', few)
    (found,) = redraw_fig5(folder, folder)['comparisons']
    assert [(row['size'], row['seeds']) for row in found['differences']] == [(96, 2), (128, 1)]
    assert 'mean over 1 to 2 seeds' in (folder / 'fig5.md').read_text()
    # COCO's AP of one seed takes nothing from AP50
    folder = write_report(tmp_path / 'mixed', [{**row, 'AP': 0.1} if row['seed'] == 0 else row for row in rows])
    found = redraw_fig5(folder, folder)['comparisons']
    assert [[row['seeds'] for row in each['differences']] for each in found] == [[2, 2], [1, 1]]
    apart = [row for row in rows if (row['method'] == 'netaug') == row['seed']]
    assert redraw_fig5(write_report(tmp_path / 'apart', apart), tmp_path / 'apart')['comparisons'] == []


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'AP': None}, 'has a point .*: expected a method and numbers for size, seed, macs, AP50_area, AP in each'),
        ({'peak_memory': 'x'}, 'AP50_area, peak_memory in each'),
        ({'method': 'other'}, 'has a point .*other'),
    ],
)
def test_points_that_are_damaged(tmp_path, changes, message):
    folder = write_report(tmp_path / 'fig', [{**row, **changes} for row in ap_points({'netaug': [0.5]})])
    with pytest.raises(InputError, match=message):
        redraw_fig5(folder, folder)


def test_awkward_figures(tmp_path):
    """One size with one seed; AP of zero; no overlap; a method that is missing."""
    report = redraw_fig5(write_report(tmp_path / 'a', ap_points({'baseline': [0.0], 'netaug': [0.5]})), tmp_path / 'a')
    assert report['headline'].startswith('No overlap')
    assert report['comparisons'][0]['differences'] == [{'size': 320, 'mean': 0.5, 'interval': None, 'seeds': 1}]
    assert redraw_fig5(write_report(tmp_path / 'b', ap_points({'netaug': [0.0]})), tmp_path / 'b')['headline'] is None
    assert cv2.imread(str(tmp_path / 'b/fig5.png')).std() > 5


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, r'no result at .*fig5.json .*run the command of the figure again'),
        ('{"version": 1, "poi', r'fig5.json is half-written or damaged .*Delete it; then run the command'),
        ('{"points": []}', r'fig5.json is without a version, from another release: expected version 1'),
        ('{"version": 0}', r'fig5.json is of version 0, from another release'),
        ('[1]', r'fig5.json is without a version'),
        ('{"version": 1}', r"fig5.json is no figure 5 \(KeyError\('settings'\)\)"),
    ],
)
def test_no_figure_to_draw_again(tmp_path, content, message):
    if content:
        (tmp_path / 'fig5.json').write_text(content)
    with pytest.raises(InputError, match=message):
        redraw_fig5(tmp_path, tmp_path)


def test_points_that_lack_something(tmp_path):
    with pytest.raises(
        InputError, match=r'has a point .*expected a method and numbers for size, seed, macs, AP50_area'
    ):
        redraw_fig5(write_report(tmp_path / 'a', [{'method': 'netaug', 'size': 96}]), tmp_path)
    with pytest.raises(InputError, match='has no points'):
        redraw_fig5(write_report(tmp_path / 'b', []), tmp_path)


def test_a_figure_of_other_data_is_not_drawn_over(tmp_path):
    other = write_report(tmp_path / 'other', ap_points({'netaug': [0.5]}))
    mine = write_report(tmp_path / 'mine', ap_points({'netaug': [0.5]}))
    report = json.loads((mine / 'fig5.json').read_text())
    report['settings']['data'] = 'data/cars'
    (mine / 'fig5.json').write_text(json.dumps(report))
    with pytest.raises(InputError, match='holds a figure of other data, data/pets: give another --out'):
        redraw_fig5(mine, other)


# The graph, with commands that only pretend

TRAIN = """
import argparse, json, os, sys, time
from functools import partial
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument('config')
for option in ('work-dir', 'data-root', 'pretrained', 'arch', 'size', 'epochs', 'seed', 'batch-size', 'lr'):
    parser.add_argument('--' + option)
parser.add_argument('--resume', action='store_true', required=True)
parser.add_argument('--cfg-options', nargs='+')
args = parser.parse_args()
run = Path(args.work_dir)
(run / 'epoch_1.pth').write_text('a checkpoint')
if 'SLOW' in os.environ:
    (run / 'pid').write_text(str(os.getpid()))
    time.sleep(600)
if os.environ.get('FAIL', '?') in run.name:
    sys.exit('error: no space left')
assert args.pretrained is None or Path(args.pretrained).is_file()
ap = 0.3 + 0.001 * int(args.size or 0) + 0.01 * int(args.seed) + 0.05 * ('netaug' in run.name)
result = {'version': 1, 'macs': 1e5 * int(args.size or 0), 'params': 9, 'AP50_area': ap, 'AP50_11point': ap}
result['threads'] = os.environ['OMP_NUM_THREADS']
(run / 'export.pth').write_text('exported')
(run / 'result.json').write_text(json.dumps(result))
"""
TEST = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('checkpoint', type=open)
for option in ('data-root', 'size', 'out', 'work-dir'):
    parser.add_argument('--' + option)
args = parser.parse_args()
json.dump({'version': 1, 'macs': 1e5, 'params': 9, 'AP50_area': 0.1, 'AP50_11point': 0.1}, open(args.out, 'w'))
"""


@pytest.fixture
def root(tmp_path):
    return pretend(tmp_path / 'root', train=TRAIN, pretrain_cls=TRAIN, test=TEST)


@pytest.fixture
def backbones(tmp_path):
    """Pattern for the checkpoints of seeds 0 and 1."""
    for seed in (0, 1):
        network = build_network('mobilenetv2_w0.1', num_classes=7)
        torch.save({'state_dict': network.state_dict()}, tmp_path / f'backbone_{seed}.pth')
    return str(tmp_path / 'backbone_{seed}.pth')


def settings(voc, backbones, **changes):
    defaults = {'head': 'ssdlite', 'arch': 'mobilenetv2_w0.1', 'sizes': (96, 128), 'seeds': (0, 1), 'epochs': 3}
    return Settings(**{'data': str(voc), 'pretrained': (backbones, backbones), **defaults, **changes})


def test_graph_of_ssdlite(voc, backbones, root, tmp_path, capfd):
    plan = plan_fig5(settings(voc, backbones), root, tmp_path / 'out')
    # three methods, two sizes, two seeds
    assert missing(plan, tmp_path / 'out', capfd) == {'finetune': 12, 'draw': 1}
    assert not (tmp_path / 'out').exists(), 'a dry run changes nothing'
    commands = [' '.join(step.command) for step in plan.steps]
    (mixup,) = [c for c in commands if '--seed 1' in c and '--size 96' in c and 'baseline_mixup_voc.py' in c]
    assert 'ssdlite_baseline_mixup_voc.py --resume' in mixup and 'backbone_1.pth' in mixup and '--epochs 3' in mixup


def test_graph_of_further_lines_and_int8(voc, backbones, root, tmp_path, capfd):
    pytest.importorskip('onnxscript')
    also = ['random start=none', f'KD={backbones}']
    wanted = settings(voc, backbones, sizes=(96,), also=also, int8=True, classes=['cat'])
    plan = plan_fig5(wanted, root, tmp_path / 'out')
    # KD's runs are those of the baseline: the same recipe from the same weights
    assert missing(plan, tmp_path / 'out', capfd) == {'finetune': 8, 'export': 8, 'draw': 1}
    random = next(step for step in plan.steps if 'from-none_seed1/export.pth' in step.makes[0])
    assert 'ssdlite_baseline_voc.py' in random.command[2] and random.needs == []
    assert random.command[random.command.index('--pretrained') + 1] == 'none'
    int8 = next(step for step in plan.steps if step.makes[0].endswith('from-none_seed1/int8.json'))
    assert int8.needs == [random.makes[0]] and '--int8' in int8.command
    assert random.command[random.command.index('--classes') + 1] == 'cat' and '_c' in random.makes[0]
    assert plan.settings['names']['random start'] == 'random start'
    assert [point['method'] for point in plan.points[-4:]] == ['random start'] * 2 + ['KD'] * 2


def test_without_training(voc, backbones, root, tmp_path, capfd):
    pytest.importorskip('snakemake')
    out, known = tmp_path / 'out', {'sizes': (96,), 'seeds': (0,)}
    with pytest.raises(InputError, match=r'no run is finished in .*out: leave out --no-training, or give --finished'):
        plan_fig5(settings(voc, backbones, train=False), root, out)
    run_plan(plan_fig5(settings(voc, backbones, **known), root, out), out, jobs=2)
    plan = plan_fig5(settings(voc, backbones, train=False), root, out)
    assert missing(plan, out, capfd) == {'draw': 1}
    assert [(point['size'], point['seed']) for point in plan.points] == [(96, 0)] * 3

    kept, new = tmp_path / 'kept', tmp_path / 'new'
    kept.mkdir()
    runs = [(out / point['result']).parent for point in plan.points]
    runs[0].rename(kept / runs[0].name)
    (runs[1] / 'result.json').rename(kept / f'{runs[1].name}.json')
    again = plan_fig5(settings(voc, backbones, finished=[str(kept)], **known), root, new)
    assert missing(again, new, capfd) == {'finetune': 1, 'draw': 1}
    carry_out(plan_fig5(settings(voc, backbones, finished=[str(kept)], train=False, **known), root, new), new)
    points = json.loads((new / 'fig5.json').read_text())['points']
    assert [point['method'] for point in points] == ['baseline', 'baseline_mixup']
    with pytest.raises(InputError, match=r'--finished .*nowhere: no such folder'):
        plan_fig5(settings(voc, backbones, finished=[str(tmp_path / 'nowhere')]), root, new)
    # of these none has been exported yet
    float_alone = settings(voc, backbones, finished=[str(kept)], train=False, int8=True, **known)
    assert [point['method'] for point in plan_fig5(float_alone, root, new).points] == ['baseline', 'baseline_mixup']


def test_detectors_of_two_recipes_are_not_drawn_together(voc, backbones, root, tmp_path):
    pytest.importorskip('snakemake')
    out, known = tmp_path / 'out', {'sizes': (96,), 'seeds': (0,)}
    plan = plan_fig5(settings(voc, backbones, **known), root, out)
    run_plan(plan, out, jobs=2)
    config = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    config.merge_from_dict({**size_options(config, 96), 'model.backbone.arch': 'mobilenetv2_tiny'})
    anchors, paths = config.model.bbox_head.anchor_generator, [out / point['result'] for point in plan.points]
    for path, smallest in zip(paths, (0.12, 0.08, 0.08), strict=True):
        anchors.first_anchor = smallest
        path.write_text(json.dumps({**json.loads(path.read_text()), 'config': config.to_dict()}))
    name = 'model.bbox_head.anchor_generator.first_anchor'
    with pytest.raises(InputError, match=rf'mixup.* has {name} 0.08, and .*baseline_voc.py {name} 0.12: expected det'):
        plan_fig5(settings(voc, backbones, **known), root, out)
    with pytest.raises(InputError, match=rf'{name} 0.08, and .*result.json {name} 0.12'):
        plan_fig5(settings(voc, backbones, train=False, **known), root, out)
    paths[0].unlink()
    assert len(plan_fig5(settings(voc, backbones, train=False, **known), root, out).points) == 2


def test_graph_of_yolov3_with_pretraining(voc, image_tree, root, tmp_path, capfd):
    options = {'arch': 'mobilenetv2_tiny', 'pretrained': None, 'pretrain_data': str(image_tree)}
    wanted = settings(voc, None, head='yolov3', sizes=(416, 320, 608), epochs=None, **options)
    plan = plan_fig5(wanted, root, tmp_path / 'out')
    # two backbones a seed, one detector a method and seed, tested at three sizes
    assert missing(plan, tmp_path / 'out', capfd) == {'pretrain': 4, 'finetune': 6, 'evaluate': 18, 'draw': 1}
    train = next(step for step in plan.steps if 'netaug_416px_e200_from-mbv2_tiny-e155_seed1' in step.makes[0])
    # the paper's range of training sizes, 320 to 608, is that around 416
    assert train.command[train.command.index('--size') + 1] == '416'
    assert train.needs == ['runs/pretrain_netaug_mbv2_tiny_mobilenetv2_tiny_e155_seed1/export.pth']


def test_sizes_follow_the_config(voc, backbones, root, tmp_path):
    for head, sizes in [('ssdlite', [192, 256, 320]), ('yolov3', [320, 416, 512, 608])]:
        plan = plan_fig5(settings(voc, backbones, head=head, sizes=None), root, tmp_path / head)
        assert plan.settings['sizes'] == sizes


def own_head(root, **files):
    """Configs of a head of one's own beside those of the repository: ``files`` are method -> text."""
    (root / 'configs').unlink()
    shutil.copytree(ROOT / 'configs', root / 'configs')
    for method, text in files.items():
        (root / f'configs/det/my_head_{method}_voc.py').write_text(text)


def test_graph_of_a_head_without_some_methods(voc, backbones, root, tmp_path, capfd):
    """Any head takes part by its configs alone."""
    base = "_base_ = './ssdlite_baseline_voc.py'\nmodel = dict(bbox_head=dict(type='mmdet.GFLHead'))\n"
    own_head(root, baseline=base, netaug="_base_ = './my_head_baseline_voc.py'\n")
    plan = plan_fig5(settings(voc, backbones, head='my_head'), root, tmp_path / 'out')
    assert missing(plan, tmp_path / 'out', capfd) == {'finetune': 8, 'draw': 1}
    assert {point['method'] for point in plan.points} == {'baseline', 'netaug'}
    assert plan.settings['head_name'] == 'GFL'


@pytest.mark.parametrize('largest', range(96, 609, 32))
def test_yolov3_is_trained_up_to_the_largest_size(voc, backbones, root, tmp_path, largest):
    plan = plan_fig5(settings(voc, backbones, head='yolov3', sizes=(96, largest)), root, tmp_path / 'out')
    size = plan.settings['train_size']
    # it is trained on batches of up to 608 pixels where it is tested at 416
    assert 32 * round(608 / 416 * size / 32) >= largest
    assert size == 96 or 32 * round(608 / 416 * (size - 32) / 32) < largest, 'no larger than needed'


def test_runs_are_used_again(voc, backbones, root, tmp_path, capfd):
    pytest.importorskip('snakemake')
    out = tmp_path / 'out'
    plan = plan_fig5(settings(voc, backbones, sizes=(96,)), root, out)
    run_plan(plan, out, jobs=64)
    report = json.loads((out / 'fig5.json').read_text())
    assert {(row['method'], row['seed']) for row in report['points']} == {(m, s) for m in METHODS for s in (0, 1)}
    for row in report['points']:
        assert row['AP50_area'] == pytest.approx(0.396 + 0.01 * row['seed'] + 0.05 * (row['method'] == 'netaug'))
        assert json.loads((out / row['result']).read_text())['threads'] == '1', '64 jobs share the cores'
    assert missing(plan, out, capfd) == {}
    (tmp_path / 'backbone_0.pth').touch()
    assert missing(plan_fig5(settings(voc, backbones, sizes=(96,)), root, out), out, capfd) == {}
    # more sizes and seeds: what is there is used again; another recipe: it is not
    assert missing(plan_fig5(settings(voc, backbones), root, out), out, capfd) == {'finetune': 6, 'draw': 1}
    for change in [{'epochs': 4}, {'batch_size': 8}, {'lr': 0.1}, {'train_options': ['param_scheduler.0.end=1']}]:
        *runs, _ = plan_fig5(settings(voc, backbones, sizes=(96,), **change), root, out).steps
        assert len(runs) == 6 and not any((out / path).exists() for run in runs for path in run.makes), change
    # other backbones under the same names
    torch.save({'state_dict': build_network('mobilenetv2_w0.1').state_dict()}, tmp_path / 'backbone_1.pth')
    plan = plan_fig5(settings(voc, backbones, sizes=(96,)), root, out)
    assert missing(plan, out, capfd) == {'finetune': 3, 'draw': 1}


def test_a_failing_step(voc, backbones, root, tmp_path, capfd, monkeypatch):
    pytest.importorskip('snakemake')
    out = tmp_path / 'out'
    plan = plan_fig5(settings(voc, backbones, sizes=(96,)), root, out)
    monkeypatch.setenv('FAIL', 'mixup')
    with pytest.raises(InputError) as caught:
        run_plan(plan, out)
    message = str(caught.value)
    assert message.startswith('3 of 7 steps are not done') and message.count('error: no space left') == 2
    run = next(path for path in (out / 'runs').glob('*mixup*') if path.name.endswith('seed1'))
    assert f'log: {run / "export.log"}' in message and 'type the same command again' in message
    assert len(list(out.glob('runs/*/result.json'))) == 4, 'the others are done'
    assert (run / 'epoch_1.pth').is_file(), 'what the run goes on from is kept'
    monkeypatch.delenv('FAIL')
    assert missing(plan, out, capfd) == {'finetune': 2, 'draw': 1}
    run_plan(plan, out)
    assert (out / 'fig5.png').is_file()


def test_a_command_that_is_stopped(voc, backbones, root, tmp_path):
    """Its runs stop with it, and the same command goes on."""
    pytest.importorskip('snakemake')
    out = tmp_path / 'out'
    start = f'import pathlib; from mmnetaug.cli import figures, run; figures.ROOT = pathlib.Path({str(root)!r}); '
    command = [sys.executable, '-c', f'{start}run.run_command("figures")']
    command += ['fig5', '--data', str(voc), '--head', 'ssdlite']
    command += ['--arch', 'mobilenetv2_w0.1', '--sizes', '96', '--epochs', '3', '--seeds', '0', '--out', str(out)]
    command += ['--pretrained', backbones, backbones]
    # As from a terminal, also where the tests run in the background and inherit that interrupts are ignored.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    slow = {**os.environ, 'SLOW': '1'}
    process = subprocess.Popen(command, env=slow, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    deadline = time.monotonic() + 600
    while not (pids := list(out.glob('runs/*/pid'))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGINT and 'stopped: finished steps are kept' in errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0].read_text()), 0)
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert (out / 'fig5.png').is_file()


def test_without_a_home_to_write_to(voc, backbones, root, tmp_path, monkeypatch, capfd):
    """As of a service's user, or in a container."""
    pytest.importorskip('snakemake')
    monkeypatch.setenv('HOME', '/proc/nowhere')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    out = tmp_path / 'out'
    plan = plan_fig5(settings(voc, backbones, sizes=(96,), seeds=(0,)), root, out)
    assert missing(plan, out, capfd) == {'finetune': 3, 'draw': 1} and not out.exists()
    run_plan(plan, out)
    assert (out / 'fig5.png').is_file()


def test_one_command_at_a_time(voc, backbones, root, tmp_path):
    pytest.importorskip('snakemake')
    out = tmp_path / 'out'
    plan = plan_fig5(settings(voc, backbones), root, out)
    out.mkdir()
    with graph._locked(out), pytest.raises(InputError, match='another command is at work in'):
        run_plan(plan, out)


# Wrong input, before anything runs


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'data': 'nowhere'}, r'no data set at .*nowhere.*then --data data/shapes'),
        ({'classes': ['cat', 'unicorn']}, r'unicorn'),
        ({'sizes': (100,)}, r'image size 100: expected a multiple of 32'),
        ({'epochs': 0}, r'--epochs 0: expected a number above 0'),
        ({'seeds': (-1,)}, r'seeds -1: expected whole numbers'),
        ({'train_size': 416}, r'--train-size is for detectors trained on batches of several sizes: one SSDLite is'),
        ({'head': 'retina'}, r'--head retina: no .*retina_baseline_voc.py; expected one of .*ssdlite, yolov3'),
        ({'train_options': ['nonsense']}, r'--cfg-options nonsense: expected KEY=VALUE'),
        ({'train_options': ['optim_wrapper.optimiser.lr=1']}, r'no optim_wrapper.optimiser; did you mean'),
        (
            {'train_options': ['train_cfg.max_epochs=5']},
            r'--cfg-options train_cfg.max_epochs=...: the figure sets',
        ),
        ({'train_options': ['model.neck.size=96']}, r'the figure sets model.neck.size itself'),
        ({'train_options': ['test_dataloader.dataset.data_root=a']}, r'sets test_dataloader.dataset.data_root itself'),
        ({'train_options': ['custom_hooks.0.alpha=1']}, r'the figure sets custom_hooks.0.alpha itself'),
        ({'pretrain_epochs': 3}, r'give either it or --pretrain-config'),
        ({'arch': 'mobilenetv9'}, r'mobilenetv9'),
        ({'pretrained': ('nowhere.pth', 'nowhere.pth')}, r'no baseline checkpoint at .*nowhere.pth'),
        ({'seeds': (0, 7)}, r'no baseline checkpoint at .*backbone_7.pth'),
        ({'arch': 'mobilenetv2_w0.2'}, r'backbone_0.pth has weights of mobilenetv2_w0.1, not of mobilenetv2_w0.2'),
        ({'pretrained': None}, r'no pretraining is known here for mobilenetv2_w0.1: give --pretrain-config'),
        ({'also': ['none']}, r"--also none: expected NAME=PRETRAINED, such as 'random start=none'"),
        ({'also': ['NetAug=none']}, r'--also NetAug=...: the figure has a line of that name; give another'),
        ({'also': ['random=none', 'Random=none']}, r'--also Random=...: the figure has a line of that name'),
        ({'also': ['a$_$b=none']}, r'expected a name of letters, digits and spaces'),
        ({'also': ['x=imagenet']}, r'no public ImageNet weights are known for mobilenetv2_w0.1'),
        ({'also': ['KD=nowhere.pth']}, r'no KD checkpoint at .*nowhere.pth: .* or give one of none, imagenet'),
        ({'head': 'yolov3', 'int8': True}, r'--int8 exports detectors at the one size that they are trained with'),
        ({'pretrained': None, 'pretrain_config': 'mine'}, r'no config at .*baseline_mine.py'),
        ({'pretrained': None, 'pretrain_config': 'mbv2', 'pretrain_data': 'void'}, r'no images at .*--pretrain-data'),
    ],
)
def test_wrong_settings(voc, backbones, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        plan_fig5(settings(voc, backbones, **changes), ROOT, tmp_path / 'out')


def test_runs_on_other_data(voc, backbones, tmp_path):
    (tmp_path / 'out/runs').mkdir(parents=True)
    (tmp_path / 'out/runs/data.json').write_text('{"--data": "/data/pets"}')
    with pytest.raises(InputError, match=r'holds runs with --data /data/pets, not .*voc: give another --out'):
        plan_fig5(settings(voc, backbones), ROOT, tmp_path / 'out')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"version": 1, "AP50_ar', r'result.json is half-written or damaged .*Delete it; then run the command'),
        ('{"AP50_area": 0.5, "macs": 1}', r'result.json is without a version, from another release'),
        ('{"version": 1, "macs": 1, "params": 1, "AP": 0.5}', r'result.json has no AP50_area: .* in voc layout'),
    ],
)
def test_results_that_cannot_be_used(voc, backbones, tmp_path, content, message):
    out = tmp_path / 'out'
    plan = plan_fig5(settings(voc, backbones), ROOT, out)
    result = out / plan.points[3]['result']
    result.parent.mkdir(parents=True)
    result.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        plan_fig5(settings(voc, backbones), ROOT, out)
    assert str(result) in str(caught.value)


def test_a_plan_without_its_runs(voc, backbones, tmp_path):
    plan = plan_fig5(settings(voc, backbones), ROOT, tmp_path)
    content = {'settings': plan.settings, 'points': plan.points}
    with pytest.raises(InputError, match=r'no result at .*result.json .*run the command of the figure again'):
        draw_fig5(content, tmp_path)


def test_without_snakemake(voc, backbones, tmp_path, monkeypatch):
    plan = plan_fig5(settings(voc, backbones), ROOT, tmp_path / 'out')
    monkeypatch.setattr(graph.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '.\[figures\]'"):
        run_plan(plan, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


# All of it


def test_one_command(voc, backbones, tmp_path):
    """The real tools: three detectors of one epoch, each in int8, then a figure, then nothing left to do."""
    pytest.importorskip('snakemake')
    pytest.importorskip('onnxscript')
    command = [sys.executable, 'tools/figures.py', 'fig5', '--data', str(voc), '--head', 'ssdlite', '--sizes', '96']
    command += ['--arch', 'mobilenetv2_w0.1', '--epochs', '1', '--batch-size', '2', '--seeds', '0']
    command += ['--pretrained', backbones, backbones, '--out', str(tmp_path / 'out')]
    command += ['--int8', '--cfg-options', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'out' / 'fig5.json').read_text())
    assert [(row['method'], row['size'], row['seed']) for row in report['points']] == [
        (method, 96, 0) for method in METHODS
    ]
    for row in report['points']:
        result = json.loads((tmp_path / 'out' / row['result']).read_text())
        assert all(row[name] == result[name] for name in ('macs', 'params', 'AP50_area', 'AP50_11point'))
        assert result['mixup'] == (row['method'] == 'baseline_mixup')
        exported = json.loads((tmp_path / 'out' / row['result']).with_name('int8.json').read_text())['after']
        assert row['int8_AP50_area'] == exported['AP50_area'] and row['peak_memory'] == exported['peak_memory']
        assert exported['peak_memory'] == result['peak_memory'], 'as before the export'
    assert report['headline'] in done.stdout


def test_commands_for_a_detector_of_several_sizes(voc, backbones, root, tmp_path):
    """The real tools, one after the other; a test passes over options of training."""
    own_head(root, baseline="_base_ = './yolov3_baseline_voc.py'\n")
    for tool in ('train', 'test'):
        shutil.copy(ROOT / f'tools/{tool}.py', root / 'tools')
    options = [f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')]
    options += ['optim_wrapper.optimizer.weight_decay=0', 'model.test_cfg.score_thr=0.01']
    wanted = settings(voc, backbones, head='my_head', seeds=(0,), epochs=1, batch_size=2, train_options=options)
    out = tmp_path / 'out'
    carry_out(plan_fig5(wanted, root, out), out)
    (run,) = (out / 'runs').glob('my_head_*')
    assert '_baseline_96px_e1_b2_x' in run.name
    trained, *tested = (
        json.loads((run / name).read_text()) for name in ('result.json', 'test_96.json', 'test_128.json')
    )
    assert [test['size'] for test in tested] == [96, 128] and tested[0]['macs'] < tested[1]['macs']
    assert tested[0]['AP50_area'] == trained['AP50_area'], 'both at the size that it was trained for'
    assert read_table((out / 'fig5.md').read_text(), '| method | size (px) | seed |')[1][:3] == ['baseline', '128', '0']
