"""Figures 1, 3 and 4: from pretraining runs to pictures."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from helpers import ROOT, carry_out, missing, pretend, read_table

from mmnetaug import InputError, build_network
from mmnetaug.checkpoint import write_export
from mmnetaug.config_files import CONTROLS, PAPER, methods, regularizers
from mmnetaug.records import RESULT_VERSION
from mmnetaug.visualization import panels
from mmnetaug.workflow import accuracy, accuracy_report
from mmnetaug.workflow.accuracy import AccuracySettings, plan_accuracy, redraw_accuracy
from mmnetaug.workflow.graph import run_plan
from mmnetaug.workflow.pretraining import LR

TINY, LARGE = 'mbv2_nano_cifar100', 'resnet14_cifar100'

PRETRAIN = """
import argparse, json, math
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument('config')
for option in ('work-dir', 'data-root', 'arch', 'epochs', 'seed'):
    parser.add_argument('--' + option, required=True)
for option in ('resume', 'mixup', 'autoaugment', 'dropblock'):
    parser.add_argument('--' + option, action='store_true')
parser.add_argument('--distill')
parser.add_argument('--cfg-options', nargs='+')
args = parser.parse_args()
methods = {'mixup': args.mixup, 'autoaugment': args.autoaugment, 'dropblock': args.dropblock}
methods['netaug'], methods['distill'] = 'netaug_' in args.config, args.distill and Path(args.distill).is_file()
gain = {'mixup': -2, 'autoaugment': -1, 'dropblock': -3, 'netaug': 4, 'distill': 5}
top1 = 30 + int(args.epochs) + int(args.seed) + sum(gain[name] for name, on in methods.items() if on)
changes = dict(change.split('=') for change in args.cfg_options or [])
weight = float(changes.get('model.base_weight', 1)) + methods['netaug'] * float(changes.get('model.alpha', 1))
lr = changes.get('optim_wrapper.optimizer.lr')
top1 -= abs(math.log2(weight * float(lr) / 0.8)) if lr else 0
run = Path(args.work_dir)
(run / 'export.pth').write_text('exported')
rows = [(epoch, top1 * epoch / int(args.epochs)) for epoch in (1, int(args.epochs))]
seen = top1 + 9 - methods['netaug']
history = [{'epoch': epoch, 'top1': accuracy, 'train_eval_top1': seen} for epoch, accuracy in rows]
classes = sorted(path.name for path in Path(args.data_root, 'train').iterdir())
result = {'epochs': int(args.epochs), 'seed': int(args.seed), 'classes': classes, 'train_images': 9}
own = 0.05 if 'resnet14' in args.config else 0.2  # of the configs
result['recipe'] = {'optim_wrapper': {'optimizer': {'lr': float(lr or own)}}}
result = {**result, 'version': 1, 'arch': args.arch, 'macs': 5e5, 'params': 6e4, 'top1': top1, 'history': history}
(run / 'result.json').write_text(json.dumps(result))
"""


@pytest.fixture
def root(tmp_path):
    """Pretraining only pretends: top-1 is 30 + epochs + seed + gain, on training images 9 more, with NetAug 8.

    At another learning rate than the config's it is one less for each factor of two between it, times the sum of the
    losses' weights, and 0.8.
    """
    return pretend(tmp_path / 'root', pretrain_cls=PRETRAIN)


def settings(figure, images, **changes):
    networks = [TINY] if figure == 'fig3' else [TINY, LARGE]
    fixed = {'networks': networks, 'seeds': ((0, 1),), 'pretrain_data': str(images)}
    return AccuracySettings(figure, **{**fixed, **changes})


def test_the_three_figures_share_their_runs(root, image_tree, tmp_path, capfd):
    out = tmp_path / 'out'
    first = plan_accuracy(settings('fig1', image_tree, epochs=[20, 30]), root, out)
    # two networks, five methods, two seeds
    assert missing(first, out, capfd) == {'pretrain': 20, 'draw': 1}
    run_plan(first, out, jobs=4)
    assert missing(first, out, capfd) == {}
    last = plan_accuracy(settings('fig4', image_tree, epochs=[20, 30]), root, out)
    assert missing(last, out, capfd) == {'draw': 1}
    lengths = plan_accuracy(settings('fig3', image_tree, epochs=[10, 20, 40]), root, out)
    assert missing(lengths, out, capfd) == {'pretrain': 8, 'draw': 1}
    for plan in (last, lengths):
        run_plan(plan, out, jobs=4)
    for figure in ('fig1', 'fig3', 'fig4'):
        assert cv2.imread(str(out / f'{figure}.png')).std() > 5
        assert (out / f'{figure}.svg').read_text().startswith('<?xml')

    report = json.loads((out / 'fig1.json').read_text())
    found = {(row['network'], row['method']): row['difference'] for row in report['comparisons']}
    gains = {'mixup': -2, 'autoaugment': -1, 'dropblock': -3, 'netaug': 4}
    assert found.keys() == {(network, method) for network in (TINY, LARGE) for method in gains}
    for (_, method), difference in found.items():
        assert difference['mean'] == pytest.approx(gains[method] / 100)
        assert difference['interval'] == pytest.approx([gains[method] / 100] * 2)
    table = read_table((out / 'fig1.md').read_text(), '| network | method | epochs | validation |')
    assert [TINY, 'NetAug', '20', '54.50 ± 0.71', '62.50 ± 0.71', '8.00 ± 0.00', '2'] in table and len(table) == 10

    report = json.loads((out / 'fig3.json').read_text())
    # Means are 30.5 + epochs, NetAug's 4 more. It has 44.5 with 10 epochs; the baseline four tenths of the way from
    # 40.5 with 10 to 50.5 with 20. The baseline has 70.5 with 40; NetAug eight tenths of the way from 54.5 to 74.5.
    (comparison,) = report['comparisons']
    assert comparison['range'] == pytest.approx([0.445, 0.705])
    ends = comparison['saving_at_lowest'], comparison['saving_at_highest']
    assert ends == pytest.approx((1 - 2**-0.4, 1 - 2**-0.2))
    assert ends[1] < comparison['saving'] < ends[0] and 'fewer epochs than the baseline' in report['headline']
    assert comparison['cost'] == 'epochs'

    report = json.loads((out / 'fig4.json').read_text())
    differences = {key: found['mean'] for key, found in report['comparisons'][0]['differences'].items()}
    assert differences == pytest.approx({'train_accuracy': 0.03, 'accuracy': 0.04, 'gap': -0.01})
    assert 'gap 9.0 to 8.0' in report['headline']


def test_a_network_may_have_seeds_of_its_own(root, image_tree, tmp_path):
    out = tmp_path / 'out'
    plan = plan_accuracy(settings('fig4', image_tree, epochs=[20], seeds=((0, 1, 2), (1,))), root, out)
    runs = [(TINY, seed) for seed in (0, 1, 2)] * 2 + [(LARGE, 1)] * 2
    assert sorted((point['network'], point['seed']) for point in plan.points) == sorted(runs)
    carry_out(plan, out)
    text = (out / 'fig4.md').read_text()
    assert 'mean over 1 to 3 seeds' in text
    counts = {row[0]: row[-1] for row in read_table(text, '| network | method | epochs | validation |')}
    assert counts == {TINY: '3', LARGE: '1'}


@pytest.fixture
def teacher(image_tree, tmp_path):
    """The export of a network for the classes of ``image_tree``."""
    path, classes = tmp_path / 'teacher.pth', sorted(folder.name for folder in (image_tree / 'train').iterdir())
    network = build_network('mobilenetv2_nano', len(classes))
    write_export(path, network.state_dict(), {'arch': 'mobilenetv2_nano', 'classes': classes})
    return path


def test_distillation(root, image_tree, teacher, tmp_path, capfd):
    out = tmp_path / 'out'
    wanted = {'networks': [TINY], 'epochs': [20], 'teacher': str(teacher)}
    plan = plan_accuracy(settings('fig4', image_tree, **wanted), root, out)
    carry_out(plan, out)
    found = json.loads((out / 'fig4.json').read_text())['comparisons']
    assert [(row['method'], row['differences']['accuracy']['mean']) for row in found] == [
        ('distill', pytest.approx(0.05)),
        ('netaug', pytest.approx(0.04)),
    ]
    assert 'distillation: +5.00 points' in (out / 'fig4.md').read_text()
    plan = plan_accuracy(settings('fig1', image_tree, methods=['netaug'], **wanted), root, out)
    assert missing(plan, out, capfd) == {'draw': 1}
    again = plan_accuracy(rates(image_tree, methods=['netaug'], rates=[0.4], teacher=str(teacher)), root, out)
    carry_out(again, out)
    assert json.loads((out / 'lr.json').read_text())['comparisons'][1]['method'] == 'distill'
    # what another network teaches is another run
    write_export(teacher, build_network('mobilenetv2_nano', 3).state_dict(), {'arch': 'mobilenetv2_nano'})
    plan = plan_accuracy(settings('fig4', image_tree, **wanted), root, out)
    assert missing(plan, out, capfd) == {'pretrain': 2, 'draw': 1}


def test_teachers_that_cannot_be(image_tree, teacher, tmp_path):
    for changes, message in [
        ({'methods': ['distill']}, 'distill needs a network to learn from: give --teacher, the export.pth'),
        ({'teacher': 'void'}, '--teacher void: no such file; expected the export.pth of another run'),
        ({'teacher': str(ROOT / 'README.md')}, 'README.md'),
    ]:
        with pytest.raises(InputError, match=message):
            plan_accuracy(settings('fig1', image_tree, networks=[TINY], **changes), ROOT, tmp_path / 'out')
    write_export(teacher, build_network('mobilenetv2_nano', 1).state_dict(), {'arch': 'a', 'classes': ['cat']})
    with pytest.raises(InputError, match=r'the teacher .* knows 1 classes and the data has .* pretrain a teacher'):
        plan_accuracy(settings('fig1', image_tree, networks=[TINY], teacher=str(teacher)), ROOT, tmp_path / 'out')


def test_commands_of_the_methods(root, image_tree, teacher, tmp_path):
    def commands(**changes):
        wanted = settings('fig1', image_tree, networks=[TINY], seeds=((3,),), **changes)
        plan = plan_accuracy(wanted, root, tmp_path / 'out')
        return {point['method']: ' '.join(step.command) for point, step in zip(plan.points, plan.steps)}

    assert list(commands()) == ['baseline', *PAPER, 'netaug']
    assert set(methods()) == {'baseline', 'netaug', *CONTROLS, *regularizers()}
    for method, command in commands(methods=list(methods()), teacher=str(teacher)).items():
        switches = [f'--{name}' for name in regularizers() if f' --{name}' in command]
        assert switches == ([f'--{method}'] if method in regularizers() else [])
        assert ('netaug_mbv2_nano_cifar100.py' in command) == (method in ('netaug', 'netaug_halved'))
        assert '--seed 3' in command and '--epochs 80' in command and '--resume' in command


def rates(images, **changes):
    options = {'networks': [TINY], 'epochs': [20], 'methods': ['netaug', *CONTROLS], 'rates': [1.6, 0.4, 0.8]}
    return settings('lr', images, **{**options, **changes})


def test_each_method_at_its_best_learning_rate(root, image_tree, tmp_path):
    out = tmp_path / 'out'
    carry_out(plan_accuracy(rates(image_tree), root, out), out)
    report = json.loads((out / 'lr.json').read_text())
    differences = {
        (row['method'], row['reference']): (row['difference']['mean'], [each['mean'] for each in row['differences']])
        for row in report['comparisons']
        if 'reference' in row
    }
    # The baseline has 50.5 at 0.8 and one less at 0.4 and at 1.6. NetAug, with twice the gradient, has 54.5 at 0.4, and
    # one and two less. Each control is four points from the one with the gradient of the same size.
    assert differences == {
        ('netaug', 'baseline'): (pytest.approx(0.04), pytest.approx([0.05, 0.03, 0.03])),
        ('netaug', 'baseline_twice'): (pytest.approx(0.04), pytest.approx([0.04] * 3)),
        ('netaug_halved', 'baseline'): (pytest.approx(0.04), pytest.approx([0.04] * 3)),
        ('baseline_twice', 'baseline'): (pytest.approx(0, abs=1e-9), pytest.approx([0.01, -0.01, -0.01])),
    }
    assert report['headline'].startswith('NetAug minus baseline, each at its best learning rate (0.4 and 0.8): +4.00')
    bests = {row['method']: row for row in report['comparisons'] if 'reference' not in row}
    assert bests['baseline']['lr'] == 0.8 and bests['baseline']['at_end'] == []
    assert bests['netaug']['at_end'] == ['lowest'] and bests['netaug']['text'].endswith('so add --rates 0.2')
    table = read_table((out / 'lr.md').read_text(), '| network | method | learning rate | validation |')
    assert [TINY, 'NetAug', '0.8', '53.50 ± 0.71', '61.50 ± 0.71', '8.00 ± 0.00', '2'] in table and len(table) == 12
    assert cv2.imread(str(out / 'lr.png')).std() > 5
    new = tmp_path / 'new'
    assert redraw_accuracy('lr', out, new)['comparisons'] == report['comparisons']


def test_the_best_rate_is_of_seeds_that_all_rates_have(root, image_tree, tmp_path):
    """Seed 1 is one point better: a rate that has it alone is not the best for that."""
    out = tmp_path / 'out'
    plan = plan_accuracy(rates(image_tree, methods=['baseline'], rates=[0.2, 0.4, 0.8], seeds=((0,),)), root, out)
    carry_out(plan, out)
    points = json.loads((out / 'lr.json').read_text())['points']
    low = next(point for point in points if point['lr'] == 0.4)
    points.append({**low, 'seed': 1, 'accuracy': low['accuracy'] + 0.1})
    report = accuracy.write_accuracy('lr', plan.settings, points, tmp_path / 'new')
    (best,) = report['comparisons']
    assert best['lr'] == 0.2  # the config's own, at which these runs lose nothing
    assert '(with the seeds that all its rates have: 0)' in best['text']
    assert 'its lowest rate' in best['text']


def test_runs_that_are_finished_elsewhere(root, image_tree, tmp_path, capfd):
    old, out, kept = tmp_path / 'old', tmp_path / 'out', tmp_path / 'kept'
    wanted = {'methods': ['netaug'], 'rates': [0.4, 0.8], 'seeds': ((0,),)}
    plan = plan_accuracy(rates(image_tree, **wanted), root, old)
    carry_out(plan, old)
    kept.mkdir()
    names = [Path(point['result']).parent.name for point in plan.points]
    (old / 'runs' / names[0]).rename(kept / names[0])
    for name in names[1:3]:
        (old / 'runs' / name / 'result.json').rename(kept / f'{name}.json')
    again = rates(image_tree, **wanted, finished=[str(kept)])
    assert missing(plan_accuracy(again, root, out), out, capfd) == {'pretrain': 1, 'draw': 1}
    here = plan_accuracy(rates(image_tree, **wanted, train=False), root, old)
    assert len(here.points) == 1 and missing(here, old, capfd) == {'draw': 1}
    # whoever has the results needs no data
    few = plan_accuracy(rates('void', **wanted, finished=[str(kept)], train=False), root, out)
    assert len(few.points) == 3 and len(few.steps) == 1
    carry_out(few, out)
    found = json.loads((out / 'lr.json').read_text())['points']
    before = json.loads((old / 'lr.json').read_text())['points'][:3]
    assert [point['accuracy'] for point in found] == [point['accuracy'] for point in before]
    with pytest.raises(InputError, match=r'\{y\}: expected a path without braces'):
        plan_accuracy(again, root, tmp_path / '{y}')
    # on other data
    record = kept / f'{names[1]}.json'
    before = record.read_text()
    for change, message in (
        ({'classes': ['ant', 'bee']}, r'has the classes ant, bee \.\.\., and not dark, light \.\.\.: expected'),
        ({'train_images': 8}, r'has 8 train images, and others have 9: expected results on one and the same data'),
    ):
        record.write_text(json.dumps({**json.loads(before), **change}))
        with pytest.raises(InputError, match=message):
            plan_accuracy(again, root, tmp_path / 'new')
    record.write_text(before)
    # NAME says 0.4
    record = kept / f'{names[2]}.json'
    changed = json.loads(record.read_text())
    changed['recipe']['optim_wrapper']['optimizer']['lr'] = 0.1
    record.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=rf'{names[2]}.json was trained with the learning rate 0.1, not 0.4'):
        plan_accuracy(again, root, tmp_path / 'new')


def test_networks_at_a_learning_rate(root, image_tree, tmp_path):
    wanted = settings('fig4', image_tree, networks=[TINY, f'{TINY}@0.4', f'{TINY}@0.2'], seeds=((0,),))
    plan = plan_accuracy(wanted, root, tmp_path / 'out')
    results = {(point['network'], point['method']): point['result'] for point in plan.points}
    assert len(results) == 6 and len(plan.steps) == 5
    assert results[f'{TINY}@0.2', 'netaug'] == results[TINY, 'netaug']  # 0.2 is the config's own
    commands = {step.makes[1]: ' '.join(step.command) for step in plan.steps[:-1]}
    for (network, _), result in results.items():
        assert ('--cfg-options optim_wrapper.optimizer.lr=0.4' in commands[result]) == (network == f'{TINY}@0.4')
    carry_out(plan, tmp_path / 'out')
    assert f'| {TINY}@0.4 | NetAug |' in (tmp_path / 'out/fig4.md').read_text()


def test_a_learning_rate_of_many_digits(root, image_tree, tmp_path):
    """It is trained, named and read back as the same number."""
    plan = plan_accuracy(
        rates(image_tree, methods=['baseline'], rates=[0.0316227766, 0.2], seeds=((0,),)), root, tmp_path
    )
    carry_out(plan, tmp_path)
    assert [point['lr'] for point in json.loads((tmp_path / 'lr.json').read_text())['points']] == [0.0316228, 0.2]


def test_lengths_of_figure_3_are_multiples_of_the_config(root, image_tree, tmp_path):
    plan = plan_accuracy(settings('fig3', image_tree), root, tmp_path / 'out')
    assert sorted({point['epochs'] for point in plan.points}) == [80, 159, 317]  # one of warm-up, 79, 158 and 316


@pytest.mark.parametrize('figure', ['fig1', 'fig4'])
def test_panels_of_one_network_share_their_scale(figure, root, image_tree, tmp_path, monkeypatch):
    wanted = settings(figure, image_tree, networks=[TINY, f'{TINY}@0.0125', LARGE], epochs=[20])
    drawn = []
    save = panels.save_figure
    monkeypatch.setattr(panels, 'save_figure', lambda figure, *paths: drawn.append(figure) or save(figure, *paths))
    carry_out(plan_accuracy(wanted, root, tmp_path / 'out'), tmp_path / 'out')
    first, slower, large = drawn[-1].axes
    titles = [axes.get_title(loc='left').splitlines()[0] for axes in (first, slower, large)]
    assert [title.endswith('parameters, learning rate 0.0125') for title in titles] == [False, True, False]
    # top-1 on validation is 50 and 51 less a point for each of the six factors of two, of NetAug 4 and a seventh more
    assert first.get_ylim() == slower.get_ylim() != large.get_ylim()
    assert first.get_ylim()[0] < 44 and first.get_ylim()[1] > 55
    assert drawn[-1].texts[-1].get_text().endswith('Epochs: 20.')


@pytest.mark.parametrize('figure', ['fig1', 'fig3', 'fig4'])
def test_drawn_again_without_training(figure, root, image_tree, tmp_path):
    out, new = tmp_path / 'out', tmp_path / 'new'
    carry_out(plan_accuracy(settings(figure, image_tree, epochs=[20], seeds=((0,),)), root, out), out)
    report = redraw_accuracy(figure, out, new)
    assert json.loads((new / f'{figure}.json').read_text()) == json.loads((out / f'{figure}.json').read_text())
    assert report['comparisons'] and sorted(path.name for path in new.iterdir()) == [
        f'{figure}.{ending}' for ending in ('json', 'md', 'png', 'svg')
    ]
    redraw_accuracy(figure, out, out)
    assert (out / f'{figure}_plan.json').is_file()
    redraw_accuracy(figure, new, out)
    assert not (out / f'{figure}_plan.json').exists(), 'the next plan draws its own figure again'
    other = json.loads((new / f'{figure}.json').read_text())
    other['settings']['data'] = 'elsewhere'
    (new / f'{figure}.json').write_text(json.dumps(other))
    with pytest.raises(InputError, match='out holds a figure of other data'):
        redraw_accuracy(figure, new, out)


@pytest.mark.parametrize(
    ('figure', 'changes', 'message'),
    [
        ('fig1', {'epochs': [0]}, r'--epochs 0: expected a number above 0'),
        ('fig3', {'epochs': [5, -1]}, r'--epochs -1: expected a number above 0'),
        ('fig4', {'epochs': [1, 2, 3]}, r'--epochs 1 and 2 and 3 for 2 networks: expected one for all'),
        ('fig1', {'methods': ['magic']}, r'no method magic: expected some of baseline, mixup'),
        ('fig1', {'networks': ['mine']}, r'no config at .*baseline_mine.py'),
        ('fig1', {'seeds': ((-1,),)}, r'seeds -1: expected whole numbers'),
        ('fig4', {'seeds': ((0,), (1,), (2,))}, r'--seeds \[0\] and \[1\] and \[2\] for 2 networks: expected'),
        ('fig1', {'train_options': ['nonsense']}, r'--cfg-options nonsense: expected KEY=VALUE'),
        ('fig3', {'train_options': ['train_cfg.max_epochs=3']}, r'the figure sets train_cfg.max_epochs itself'),
        ('fig3', {'train_options': ['param_scheduler.0.end=3']}, r'the figure sets param_scheduler.0.end itself'),
        ('fig1', {'train_options': ['custom_hooks.0.alpha=0.2']}, r'the figure sets custom_hooks.0.alpha itself'),
        ('fig1', {'train_options': ['model.arch=mcunet']}, r'the figure sets model.arch itself'),
        ('fig1', {'train_options': ['model.netaug.width_mults=1,2']}, r'sets model.netaug.width_mults itself'),
        ('fig4', {'train_options': ['default_hooks.train_accuracy.images=5']}, r'sets default_hooks.train_accuracy'),
        ('fig1', {'train_options': ['optim_wrapper.optimiser.lr=1']}, r'no optim_wrapper.optimiser; did you mean'),
        ('fig1', {'train_options': ['randomness.seed=7']}, r'the figure sets randomness.seed itself'),
        ('fig1', {'train_options': ['val_dataloader.dataset.data_root=a']}, r'sets val_dataloader.dataset.data_root'),
        ('fig1', {'pretrain_data': 'void'}, r'no images at .*--pretrain-data'),
        ('fig1', {'networks': ['mbv2_tiny', LARGE], 'pretrain_data': None}, r'different data.*--pretrain-data'),
        ('fig1', {'networks': [f'{TINY}@high']}, rf'--networks {TINY}@high: expected a learning rate after @, as in'),
        ('fig1', {'networks': [f'{TINY}@-1']}, r'learning rate -1: expected a number above 0'),
        ('fig1', {'networks': [f'{TINY}@1'], 'train_options': [f'{LR}=1']}, rf'the figure sets {LR} itself'),
        ('lr', {'networks': [TINY, LARGE]}, r'--networks .*: expected one network, with the learning rates in --rates'),
        ('lr', {'networks': [f'{TINY}@1']}, rf'--networks {TINY}@1: expected one network'),
        ('lr', {'networks': [TINY], 'rates': [0.1, 0]}, r'learning rate 0: expected a number above 0'),
        ('lr', {'networks': [TINY], 'finished': ['void']}, r'--finished void: no such folder'),
        ('lr', {'networks': [TINY], 'train': False}, r'none of the 14 runs is finished in .*leave out --no-training'),
    ],
)
def test_wrong_settings(figure, changes, message, image_tree, tmp_path):
    with pytest.raises(InputError, match=message):
        plan_accuracy(settings(figure, image_tree, **changes), ROOT, tmp_path / 'out')


def test_results_that_cannot_be_used(root, image_tree, tmp_path):
    out = tmp_path / 'out'
    plan = plan_accuracy(settings('fig4', image_tree), root, out)
    result = out / plan.points[1]['result']
    result.parent.mkdir(parents=True)
    whole = {'version': 1, 'arch': 'a', 'epochs': 80, 'seed': 1, 'top1': 3.0, 'macs': 1, 'params': 1}
    whole['history'] = [{'epoch': 80, 'top1': 3.0, 'train_eval_top1': 4.0}]
    for content, message in [
        ({**whole, 'history': []}, r'has no history of train_eval_top1.*Delete .*; then run the command'),
        ({**whole, 'history': [{'epoch': 1, 'top1': 3.0}]}, r'has no history of train_eval_top1'),
        ({**whole, 'seed': 9}, r'is of 80 epochs with seed 9, not 80 with 1'),
        ({'version': 0}, 'from another release'),
    ]:
        result.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            plan_accuracy(settings('fig4', image_tree), root, out)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r'no result at .*fig4.json .*run the command of the figure again'):
        redraw_accuracy('fig4', tmp_path, tmp_path)
    (tmp_path / 'fig4.json').write_text(json.dumps({'version': RESULT_VERSION}))
    with pytest.raises(InputError, match='is no figure 4'):
        redraw_accuracy('fig4', tmp_path, tmp_path)


def test_results_with_gaps(tmp_path):
    """Seeds that the methods do not share, and a network without points, are left out of comparisons."""
    point = {'network': TINY, 'arch': 'a', 'macs': 1e6, 'params': 1e5, 'epochs': 3, 'accuracy': 0.5}
    point.update(train_accuracy=0.6, history=[{'epoch': 3, 'accuracy': 0.5, 'train_accuracy': 0.6}])
    points = [{**point, 'method': 'baseline', 'seed': 0}, {**point, 'method': 'netaug', 'seed': 1}]
    content = {'version': RESULT_VERSION, 'settings': {'networks': [TINY, LARGE], 'data': 'd'}, 'points': points}
    for figure in ('fig1', 'fig3', 'fig4'):
        (tmp_path / f'{figure}.json').write_text(json.dumps(content))
        assert redraw_accuracy(figure, tmp_path, tmp_path / 'new')['comparisons'] == []
    del points[0]['arch']
    (tmp_path / 'fig1.json').write_text(json.dumps(content))
    with pytest.raises(InputError, match='without network, arch or history'):
        redraw_accuracy('fig1', tmp_path, tmp_path / 'new')


def test_runs_of_different_networks(root, image_tree, tmp_path):
    """A network of the same name that an earlier release built otherwise."""
    out = tmp_path / 'out'
    plan = plan_accuracy(settings('fig4', image_tree, seeds=((0,),), epochs=[2]), root, out)
    carry_out(plan, out)
    old = out / plan.points[1]['result']
    old.write_text(json.dumps({**json.loads(old.read_text()), 'macs': 7}))
    points = [accuracy._read_point('fig4', out, point, {}) for point in plan.points]
    with pytest.raises(InputError, match=rf'runs of {TINY} are of different networks.*netaug.* 7 MACs.*Delete'):
        accuracy.write_accuracy('fig4', plan.settings, points, out)


def test_the_record_names_the_data_as_it_was_given(root, image_tree, tmp_path, monkeypatch):
    monkeypatch.chdir(image_tree.parent)
    out = tmp_path / 'out'
    carry_out(plan_accuracy(settings('fig4', image_tree.name, seeds=((0,),), epochs=[2]), root, out), out)
    assert json.loads((out / 'fig4.json').read_text())['settings']['data'] == image_tree.name
    assert f', {image_tree.name}\n' in (out / 'fig4.md').read_text()


def test_one_command(image_tree, tmp_path):
    """The real tools: two runs of one epoch, then figure 4."""
    pytest.importorskip('snakemake')
    command = [sys.executable, 'tools/figures.py', 'fig4', '--networks', TINY, '--epochs', '1', '--seeds', '0']
    command += ['--pretrain-data', str(image_tree), '--out', str(tmp_path / 'out'), '--cfg-options']
    command += ['train_dataloader.batch_size=8', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / 'out/fig4.json').read_text())
    assert [point['method'] for point in report['points']] == ['baseline', 'netaug']
    for point in report['points']:
        result = json.loads((tmp_path / 'out' / point['result']).read_text())
        assert point['accuracy'] == pytest.approx(result['top1'] / 100)
        assert point['train_accuracy'] == pytest.approx(result['history'][-1]['train_eval_top1'] / 100)
    assert report['headline'] in done.stdout


def test_gaps_are_of_the_seeds_that_both_have():
    gaps = {('baseline', 0): 0.1, ('baseline', 1): 0.1, ('baseline', 2): 0.3, ('netaug', 0): 0.08, ('netaug', 1): 0.08}
    points = [
        {'network': TINY, 'method': method, 'seed': seed, 'accuracy': 0.5, 'train_accuracy': 0.5 + gap, 'gap': gap}
        for (method, seed), gap in gaps.items()
    ]
    assert accuracy_report._compare_learning(points, 'netaug')['text'].endswith('gap 10.0 to 8.0')
