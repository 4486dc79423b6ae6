"""Pretraining: from a folder of images to export.pth."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, pretrain_config
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

import mmnetaug
from mmnetaug import InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import lengthened
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.archs import get_arch
from mmnetaug.cli import pretrain as command
from mmnetaug.config_files import methods
from mmnetaug.datasets import ImageFolder
from mmnetaug.engine.hooks import ExportHook, NetAugHook, estimate_norm_statistics
from mmnetaug.engine.runner import bare_model, training_runner
from mmnetaug.evaluation import TopK
from mmnetaug.models import Classifier
from mmnetaug.registry import HOOKS

CONFIGS = sorted((ROOT / 'configs/pretrain').glob('*.py'))
NANO, NETAUG_NANO = 'baseline_mbv2_nano_cifar100', 'netaug_mbv2_nano_cifar100'
# Name -> hook of its base file.
REGULARIZERS = {
    'autoaugment': {'type': 'mmnetaug.AutoAugmentHook'},
    'distill': {
        'type': 'mmnetaug.DistillationHook',
        'checkpoint': 'work_dirs/baseline_resnet50/export.pth',
        'temperature': 4.0,
        'weight': 0.5,
    },
    'dropblock': {'type': 'mmnetaug.DropBlockHook', 'rate': 0.1},
    'dropout': {'type': 'mmnetaug.DropoutHook', 'rate': 0.2},
    'mixup': {'type': 'mmnetaug.MixupHook', 'alpha': 0.2},
}


@pytest.fixture
def config_of_tool(monkeypatch):
    """A function from a command line to the config that ``mmnetaug pretrain`` trains with."""

    def config_of(*arguments):
        configs = []
        module = importlib.import_module('mmnetaug.apis.pretrain')
        monkeypatch.setattr(module, 'pretrain', lambda config: configs.append(config) or {'top1': 0.0, 'macs': 0})
        command.main(command.parser().parse_args([*map(str, arguments)]))
        return configs[0]

    return config_of


def child_of(folder, base, text, *more):
    """A config of a user's own: bases and what is different."""
    bases = [str(ROOT / f'configs/{name}.py') for name in (f'pretrain/{base}', *more)]
    (folder / 'child.py').write_text(f'_base_ = {bases}\n{text}\n')
    return folder / 'child.py'


def without_run(config):
    return {key: value for key, value in config.to_dict().items() if key not in ('work_dir', 'launcher', 'resume')}


@pytest.mark.parametrize('name', ['baseline_mbv2_tiny_cifar100', 'netaug_mbv2_tiny_cifar100'])
def test_a_run_ends_with_an_export_that_loads(image_tree, tmp_path, name):
    config = pretrain_config(image_tree, tmp_path / 'run', name)
    result = pretrain(config)
    assert result == json.loads((tmp_path / 'run/result.json').read_text())
    assert 0 <= result['top1'] <= 100
    network = mmnetaug.build_network('mobilenetv2_tiny', num_classes=2)
    meta = mmnetaug.load_weights(network, tmp_path / 'run/export.pth')
    assert meta['classes'] == ['dark', 'light']
    assert meta['macs'] == mmnetaug.count_macs(network, (3, 32, 32))
    assert bool(meta['netaug']) == name.startswith('netaug')
    # The export scores what the run reported.
    network.eval()
    hits = []
    for item in ImageFolder(image_tree, 'val', config.val_dataloader.dataset.pipeline):
        image = item['inputs'].flip(0).float()
        mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
        with torch.no_grad():
            logits = network(((image - mean[:, None, None]) / std[:, None, None])[None])
        hits.append(int(logits.argmax()) == item['data_samples'])
    assert 100 * np.mean(hits) == pytest.approx(result['top1'])


def test_training_accuracy_is_that_of_validation_on_training_images(image_tree, tmp_path):
    """A tree in which both splits hold the same images: the two accuracies are equal at every validation."""
    shutil.rmtree(image_tree / 'val')
    shutil.copytree(image_tree / 'train', image_tree / 'val')
    hooks = [{'type': 'mmnetaug.DropoutHook', 'rate': 0.5}, {'type': 'mmnetaug.MixupHook', 'alpha': 0.2}]
    options = {'train_cfg.val_interval': 1, 'custom_hooks': hooks}
    number = 'default_hooks.train_accuracy.images'
    for images, work_dir in [(10000, tmp_path / 'all'), (12, tmp_path / 'some')]:
        result = pretrain(pretrain_config(image_tree, work_dir, NANO, epochs=3, **{number: images}, **options))
        assert [row['epoch'] for row in result['history']] == [1, 2, 3]
        for row in result['history']:
            if images > 48:
                assert row['train_eval_top1'] == row['top1']
            hits = row['train_eval_top1'] / 100 * min(images, 48)
            assert hits == pytest.approx(round(hits))
    result = pretrain(pretrain_config(image_tree, tmp_path / 'none', NANO, epochs=1, **{number: 0}))
    assert 'train_eval_top1' not in result['history'][0]


def test_the_last_epoch_is_validated_once(image_tree, tmp_path, monkeypatch):
    monkeypatch.setattr('time.strftime', lambda *_: '20260101_000000')  # runs of the same second keep apart, too
    validations = []

    @HOOKS.register_module(force=True)
    class CountValidations(Hook):
        def before_val(self, runner):
            validations.append(runner.epoch)

    for run, epochs, resume, expected in [('a', 3, False, [2, 3]), ('a', 3, True, [3]), ('b', 1, False, [1])]:
        options = {
            'resume': resume,
            'train_cfg.val_interval': 2,
            'custom_hooks': [{'type': 'mmnetaug.CountValidations'}],
        }
        validations.clear()
        result = pretrain(pretrain_config(image_tree, tmp_path / run, NANO, epochs, **options))
        assert validations == expected, 'a finished run that is resumed is validated for its result'
        assert [row['epoch'] for row in result['history']] == ([2, 3] if run == 'a' else [1])
        assert result['history'][-1]['top1'] == result['top1']


def test_grouped_optimizer_is_that_of_mmengine(image_tree):
    config = pretrain_config(image_tree, '')
    steps = []
    for constructor in ('DefaultOptimWrapperConstructor', config.optim_wrapper.constructor):
        torch.manual_seed(0)
        model = Classifier('mobilenetv2_w0.1', 2)
        wrapper = build_optim_wrapper(model, ConfigDict({**config.optim_wrapper, 'constructor': constructor}))
        groups = wrapper.optimizer.param_groups
        names = {parameter: name for name, parameter in model.named_parameters()}
        decay = {names[tensor]: group['weight_decay'] for group in groups for tensor in group['params']}
        for _ in range(3):
            images = torch.randn(8, 3, 64, 64)
            wrapper.update_params(model(images, torch.arange(8) % 2, 'loss')['loss_base'])
        steps.append((len(groups), decay, [parameter.detach() for parameter in model.parameters()]))
    (many, *expected), (few, *found) = steps
    assert many > 50 and few == 2
    assert found[0] == expected[0] and set(found[0].values()) == {0, 4e-5}
    for ours, theirs in zip(found[1], expected[1]):
        torch.testing.assert_close(ours, theirs)


def test_a_shared_parameter_is_updated_once(image_tree):
    config = pretrain_config(image_tree, '')
    shared = torch.nn.Conv2d(3, 3, 1)
    model = torch.nn.ModuleList(torch.nn.Sequential(shared, torch.nn.BatchNorm2d(3)) for _ in range(3))
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    updated = [id(parameter) for group in groups for parameter in group['params']]
    assert sorted(updated) == sorted(map(id, model.parameters()))


def test_schedule_flag_multiplies_the_epochs_after_warm_up(config_of_tool, image_tree, tmp_path):
    config = read_config(ROOT / 'configs/pretrain/baseline_mbv2_tiny.py', 'pretrain')
    assert [lengthened(config, times) for times in (1, 2, 4)] == [155, 305, 605]
    config.train_cfg.max_epochs = 3  # shorter than the warm-up
    assert [lengthened(config, times) for times in (1, 2, 4)] == [3, 4, 6]
    short = child_of(tmp_path, NANO, 'train_cfg = dict(max_epochs=2)')
    with pytest.raises(InputError, match='--epochs 3 and --schedule 2x: give one of the two'):
        config_of_tool(short, '--schedule', '2x', '--epochs', '3')
    command = [sys.executable, 'tools/pretrain_cls.py', str(short), '--work-dir', str(tmp_path / 'run')]
    command += ['--data-root', str(image_tree), '--batch-size', '8', '--workers', '0']
    command += ['--schedule', '2x', '--mixup', '--dropblock']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'run/result.json').read_text())
    assert result['epochs'] == 3
    assert result['recipe']['custom_hooks'] == [
        {'type': 'mmnetaug.DropBlockHook', 'rate': 0.1},
        {'type': 'mmnetaug.MixupHook', 'alpha': 0.2},
    ]


def test_a_run_is_neither_overwritten_nor_resumed_with_another_schedule(image_tree, tmp_path, capfd):
    config_of = partial(pretrain_config, image_tree, tmp_path / 'run', NANO)
    pretrain(config_of(epochs=1, resume=True))
    assert 'run to resume: starts from the beginning' in ''.join(capfd.readouterr())
    with pytest.raises(InputError, match='--resume'):
        pretrain(config_of(epochs=1))
    message = (
        r'started with train_cfg\.max_epochs 1, .*not train_cfg\.max_epochs 3, .*: resume it with its own settings'
    )
    with pytest.raises(InputError, match=message):
        pretrain(config_of(epochs=3, resume=True))
    note = tmp_path / 'run/schedule.json'
    noted = json.loads(note.read_text())
    before = {name: value for name, value in noted.items() if not name.startswith('train_dataloader.dataset.')}
    assert 0 < len(before) < len(noted)
    note.write_text(json.dumps(before))  # as earlier releases did
    pretrain(config_of(epochs=1, resume=True, **{'train_cfg.val_interval': 1}))  # what changes no weight


def test_a_run_is_not_resumed_as_another(image_tree, tmp_path):
    """MMEngine resumes whatever fits and leaves the rest random."""
    pretrain(pretrain_config(image_tree, tmp_path / 'run', NANO, epochs=1))
    exported = (tmp_path / 'run/export.pth').read_bytes()
    for key, value in {
        'model.arch': 'mobilenetv2_w0.1',
        'model.netaug': {'width_mults': (1.0, 2.0)},
        'train_dataloader.batch_size': 4,
        'randomness.seed': 3,
        'custom_hooks': [{'type': 'mmnetaug.MixupHook', 'alpha': 0.2}],
        'train_dataloader.dataset.pipeline.1.size': 24,
        'train_dataloader.dataset.pipeline.2.direction': 'vertical',  # of which nothing was said before
        'model.num_classes': 3,
    }.items():
        if key == 'model.num_classes':
            for split in ('train', 'val'):
                shutil.copytree(image_tree / split / 'dark', image_tree / split / 'grey')
        with pytest.raises(InputError, match=rf'started with {key}\S* .*, not {key}\S* .*its own settings'):
            pretrain(pretrain_config(image_tree, tmp_path / 'run', NANO, epochs=1, resume=True, **{key: value}))
    assert (tmp_path / 'run/export.pth').read_bytes() == exported


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model.netaug': None}, r'NetAugHook without model\.netaug'),
        ({'default_hooks.netaug': None}, r'model\.netaug without the hook that draws the larger networks'),
    ],
)
def test_half_of_netaug_is_refused(changes, message, image_tree, tmp_path):
    with pytest.raises(InputError, match=message):
        pretrain(pretrain_config(image_tree, tmp_path / 'run', 'netaug_mbv2_nano_cifar100', epochs=1, **changes))


def test_load_from_an_export(image_tree, tmp_path, capfd):
    pretrain(pretrain_config(image_tree, tmp_path / 'first', NANO, epochs=1))
    export = tmp_path / 'first/export.pth'
    config = pretrain_config(image_tree, tmp_path / 'second', NANO, epochs=1, load_from=str(export))
    runner = training_runner(config)
    runner._init_model_weights()
    runner.load_or_resume()  # as MMEngine begins to train
    state = bare_model(runner).network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in torch.load(export)['state_dict'].items())
    capfd.readouterr()
    training_runner(pretrain_config(image_tree, tmp_path / 'third', NANO, epochs=1, load_from=str(export)))
    assert 'as there' not in capfd.readouterr().out
    other = pretrain_config(image_tree, tmp_path / 'fourth', NANO, epochs=1, load_from=str(export))
    other.model.data_preprocessor.update(mean=[0] * 3, std=[255.0] * 3)
    other.model.padding = 'tf'
    training_runner(other)
    said = r'export.pth was trained .*; as there: --padding symmetric --cfg-options model.data_preprocessor.mean=(\S+) '
    (mean,) = re.findall(said, capfd.readouterr().out)
    assert mean == '123.675,116.28,103.53'
    shutil.copytree(image_tree / 'train/dark', image_tree / 'train/grey')
    shutil.copytree(image_tree / 'val/dark', image_tree / 'val/grey')
    more = pretrain_config(image_tree, tmp_path / 'more', NANO, epochs=1, load_from=str(export))
    with pytest.raises(InputError, match=r'(?s)export\.pth .*classifier'):
        pretrain(more)


def test_schedule_of_netaug(image_tree, tmp_path):
    """Widths are drawn and channels sorted until half of the epochs after warm-up remain, expansions throughout."""
    steps, sorts = [], []

    @HOOKS.register_module(force=True)
    class Watch(Hook):
        def before_train(self, runner):
            network = runner.model.network
            sort = network.sort_channels
            network.sort_channels = lambda optimizer: (sorts.append(runner.epoch), sort(optimizer))

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            steps.append((runner.epoch, runner.model.augmented))

    draws = {}
    for seed in (0, 1):
        steps.clear(), sorts.clear()
        options = {'randomness.seed': seed, 'train_dataloader.batch_size': 24}
        hooks = [{'type': 'mmnetaug.Watch'}]
        pretrain(pretrain_config(image_tree, tmp_path / str(seed), epochs=5, custom_hooks=hooks, **options))
        draws[seed] = [json.dumps(widths) for _, widths in steps]
        assert sorts == [0, 1, 2], 'of four epochs after one of warm-up the last two draw expansions alone'
        stems = {half: {w['stem.0.conv'] for epoch, w in steps if (epoch >= 3) == half} for half in (False, True)}
        assert stems[False] & {29, 42} and stems[True] == {16}
    assert len(set(draws[0])) > 4
    assert not set(draws[0]) & set(draws[1])


@pytest.mark.parametrize(('epochs', 'warmup', 'last'), [(155, 5, 80), (25, 5, 15), (20, 1, 11), (80, 1, 41), (3, 0, 2)])
def test_when_the_last_widths_are_drawn(epochs, warmup, last):
    """As many epochs remain as half of those after warm-up: 75 of 155 with 5 of warm-up."""
    schedulers = [{'type': 'LinearLR', 'by_epoch': True, 'begin': 0, 'end': warmup}] if warmup else []
    cfg = Config({'param_scheduler': [*schedulers, {'type': 'CosineAnnealingLR'}]})
    drawing = [
        NetAugHook._draws_widths(SimpleNamespace(epoch=epoch, max_epochs=epochs, cfg=cfg)) for epoch in range(epochs)
    ]
    assert drawing == [epoch < last for epoch in range(epochs)]


@pytest.mark.parametrize(
    ('hook', 'message'),
    [
        ({'type': 'EMAHook'}, r'an average of weights \(EMAHook\) would mix channels that NetAug sorts'),
        ({'type': 'mmnetaug.Synchronise'}, r'sync_bn cannot normalise a part of the channels'),
    ],
)
def test_what_knows_no_sub_networks_is_refused(image_tree, tmp_path, hook, message):
    @HOOKS.register_module(force=True)
    class Synchronise(Hook):
        priority = 'HIGHEST'

        def before_train(self, runner):  # what MMEngine's sync_bn does in several processes
            runner.model.network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(runner.model.network)

    with pytest.raises(InputError, match=message):
        pretrain(pretrain_config(image_tree, tmp_path, custom_hooks=[hook]))


def test_a_checkpoint_of_a_supernet_says_whose_statistics_it_holds(image_tree, tmp_path):
    pretrain(pretrain_config(image_tree, tmp_path / 'run', NETAUG_NANO, epochs=1))
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth')
    said = checkpoint['mmnetaug']
    assert said['supernet'] is True and said['statistics_of_base_network'] is False
    assert (said['arch'], said['in_channels']) == ('mobilenetv2_nano', 3)
    with pytest.raises(InputError, match=r'of a NetAug supernet, larger than its tiny network: use the export\.pth'):
        mmnetaug.load_weights(mmnetaug.build_network('mobilenetv2_nano', 2), tmp_path / 'run/epoch_1.pth')


def test_a_finished_run_that_is_resumed_exports_the_same(image_tree, tmp_path):
    """Statistics are estimated on the same images with the same draws, in whichever process."""
    exports = []
    for resume in (False, True):
        pretrain(pretrain_config(image_tree, tmp_path / 'run', NETAUG_NANO, resume=resume))
        exports.append(torch.load(tmp_path / 'run/export.pth')['state_dict'])
    assert all(torch.equal(tensor, exports[1][name]) for name, tensor in exports[0].items())


def test_of_a_model_that_is_neither_detector_nor_ours_a_checkpoint_says_nothing():
    checkpoint = {}
    ExportHook().before_save_checkpoint(SimpleNamespace(model=torch.nn.Linear(1, 1)), checkpoint)
    assert checkpoint == {}


def test_two_processes_draw_the_same_and_stay_identical(image_tree, tmp_path):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [str(ROOT / 'tests/distributed_pretrain.py'), str(image_tree), str(tmp_path)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in tmp_path.glob('writer*')] == ['writer0']
    first, second = (json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1))
    assert len(first) == 12  # 48 images, 2 processes of 4 images, 2 epochs
    for step in range(12):
        assert first[step][:2] == second[step][:2]  # draw and weights
        assert first[step][2] != second[step][2]  # each process has images of its own
        assert first[step][3] == second[step][3] == 1  # each gradient is sent once, for both networks of a step
    assert len({json.dumps(step[0]) for step in first}) > 6  # the draws differ from step to step


def test_the_config_of_a_run_is_complete(image_tree, tmp_path):
    """What a run leaves in its folder makes the same weights with MMEngine alone."""
    config = pretrain_config(image_tree, tmp_path / 'ours', NETAUG_NANO)
    pretrain(config)
    stock = Config.fromfile(tmp_path / 'ours/netaug_mbv2_nano_cifar100.py')
    stock.work_dir = stock.experiment_name = str(tmp_path / 'stock')
    runner = Runner.from_cfg(stock)
    runner.train()
    ours, theirs = (
        torch.load(tmp_path / run / 'epoch_2.pth', weights_only=False)['state_dict'] for run in ('ours', 'stock')
    )
    start = Runner.from_cfg(stock).model.state_dict()
    assert ours.keys() == theirs.keys() == start.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert not any(torch.equal(ours[name], tensor) for name, tensor in start.items() if name.endswith('conv.weight'))


@pytest.mark.parametrize('method', ['baseline', 'netaug'])
def test_a_stock_runner_tests_a_checkpoint(method, image_tree, tmp_path):
    result = pretrain(pretrain_config(image_tree, tmp_path, f'{method}_mbv2_nano_cifar100'))
    config = Config.fromfile(tmp_path / f'{method}_mbv2_nano_cifar100.py')
    config.load_from, config.work_dir = str(tmp_path / 'epoch_2.pth'), str(tmp_path / 'test')
    runner = Runner.from_cfg(config)
    tested = runner.test()
    mean = runner.model.state_dict()['network.stem.0.norm.running_mean']
    kept = torch.load(tmp_path / 'epoch_2.pth')['state_dict']['network.stem.0.norm.running_mean']
    if method == 'baseline':
        assert tested == {name: result[name] for name in tested} and torch.equal(mean, kept)
    else:  # with statistics of the tiny network
        assert tested['top1'] == runner.val()['top1'] and not torch.equal(mean, kept)


def test_statistics_are_the_mean_over_batches():
    torch.manual_seed(0)
    model = Classifier('mobilenetv2_tiny', 2, netaug={'width_mults': (1.0, 2.0)})
    norm, seen = model.network.stem[0].norm, []
    model.network.stem[0].conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
    batches = [{'inputs': torch.randn(4, 3, 32, 32) * (i + 1)} for i in range(4)]
    outside = norm.running_mean[16:].clone()
    estimate_norm_statistics(model, batches, max_images=12)  # the first three batches
    assert len(seen) == 3
    means = torch.stack([output.mean((0, 2, 3)) for output in seen])
    variances = torch.stack([output.var((0, 2, 3)) for output in seen])
    torch.testing.assert_close(norm.running_mean[:16], means.mean(0))
    torch.testing.assert_close(norm.running_var[:16], variances.mean(0))
    assert torch.equal(norm.running_mean[16:], outside)
    assert norm.momentum == 0.1


def test_broken_logits_score_nothing():
    metric = TopK()
    for row in (torch.full((10,), float('nan')), torch.zeros(10)):
        metric.process(None, [{'logits': row, 'label': torch.tensor(0)}])
    assert metric.compute_metrics(metric.results) == {'top1': 0.0, 'top5': 0.0}


def test_topk_of_hand_made_logits():
    metric = TopK()
    logits = torch.eye(10)[[0, 1, 2, 3]] + torch.linspace(0, 0.5, 10)
    labels = [0, 9, 0, 3]  # hit; second best; last of ten; hit
    metric.process(None, [{'logits': row, 'label': torch.tensor(label)} for row, label in zip(logits, labels)])
    assert metric.compute_metrics(metric.results) == {'top1': 50.0, 'top5': 75.0}


def test_learning_rate_warms_up_then_falls_to_zero(image_tree, tmp_path):
    """Six steps an epoch with batches of 8: the rate of 128 images, 0.1, is scaled to 8."""
    config = pretrain_config(image_tree, tmp_path, 'baseline_mbv2_tiny_cifar100', epochs=4)
    config.default_hooks.logger.interval = 1
    pretrain(config)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    rates = [record['lr'] for record in map(json.loads, log.read_text().splitlines()) if 'lr' in record]
    assert len(rates) == 24
    peak = 0.1 * 8 / 128
    assert rates[0] == pytest.approx(peak * 1e-3)
    assert max(rates) == pytest.approx(peak) and rates.index(max(rates)) in (5, 6)
    expected = [peak / 2 * (1 + np.cos(np.pi * step / 18)) for step in range(18)]
    assert rates[6:] == pytest.approx(expected, abs=peak * 0.02)


# --- configs ---


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A folder with the data sets of the configs below ``data``, each class with the same two images.

    Of ImageNet-21K-P it has 100 classes, as ten thousand folders take long to read.
    """
    folder = tmp_path_factory.mktemp('configs')
    (folder / 'class').mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f'class/{i}.png'), np.full((32, 32, 3), 100 * i, np.uint8))
    numbers = {'cifar100': 100, 'tiny_imagenet100': 100, 'shapes/cls': 20, 'imagenet': 1000, 'imagenet21k_p': 100}
    for name, number in numbers.items():
        train = folder / 'data' / name / 'train'
        train.mkdir(parents=True)
        for i in range(number):
            (train / f'class{i}').symlink_to(folder / 'class')
        train.with_name('val').symlink_to(train)
    return folder


def leaves(value):
    """All values of a config that are neither dicts nor lists."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for below in value for leaf in leaves(below)] if isinstance(value, (list, tuple)) else [value]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_complete(path, data, tmp_path, monkeypatch):
    """MMEngine builds all of it, from the registries: no value is left open."""
    config = Config.fromfile(path)
    assert None not in leaves(config.to_dict())
    loaders = [config.train_dataloader, config.val_dataloader, config.test_dataloader]
    classes = config.model.num_classes
    assert [loader.dataset.num_classes for loader in loaders] == [classes] * 3
    assert config.test_dataloader == config.val_dataloader and config.test_evaluator == config.val_evaluator
    if path.stem.endswith('_21k'):
        assert classes == 10450
        for loader in loaders:
            loader.dataset.num_classes = 100
    for loader in loaders:
        loader.dataset.serialize_data = False  # which takes long, as does what MMEngine logs of the config
    monkeypatch.setattr(Config, 'pretty_text', '')
    monkeypatch.chdir(data)
    config.work_dir = str(tmp_path)
    runner = Runner.from_cfg(config)
    network = runner.model.network
    assert isinstance(network, mmnetaug.NetAug) == path.stem.startswith('netaug')
    assert network.num_classes == classes
    sizes = {
        loop.dataloader.dataset[0]['inputs'].shape for loop in (runner.train_loop, runner.val_loop, runner.test_loop)
    }
    arch = get_arch(config.model.arch)
    sizes_of_data = {'shapes': 48, 'tinyimagenet': 48, 'tiny_cifar100': 32, 'resnet14_cifar100': 16}
    size = next((size for name, size in sizes_of_data.items() if path.stem.endswith(name)), arch.input_size)
    assert sizes == {(3, size, size)}
    assert isinstance(runner.val_loop.evaluator.metrics[0], TopK)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert len(runner.optim_wrapper.optimizer.param_groups) == 2
    schedule = runner.build_param_scheduler(runner.param_schedulers)
    assert schedule[-1].end == runner.max_iters > 0
    hooks = {type(hook).__name__ for hook in runner.hooks}
    assert {'IterationSeedHook', 'TrainAccuracyHook', 'KeepFreedMemoryHook'} <= hooks
    assert ('NetAugHook' in hooks) == path.stem.startswith('netaug')


@pytest.mark.parametrize('path', [path for path in CONFIGS if 'netaug' in path.stem], ids=lambda path: path.stem)
def test_twins_differ_in_netaug_alone(path):
    config = Config.fromfile(path)
    twin = Config.fromfile(path.with_name(path.name.replace('netaug_distill', 'distill').replace('netaug', 'baseline')))
    del config.model['netaug'], config.default_hooks['netaug']
    assert config.to_dict() == twin.to_dict()


@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if path.stem.split('_')[0] in REGULARIZERS], ids=lambda path: path.stem
)
def test_config_of_a_regulariser_is_the_baseline_with_its_hook(path):
    name, _, network = path.stem.partition('_')
    baseline = Config.fromfile(path.with_name(f'baseline_{network}.py')).to_dict()
    assert 'custom_hooks' not in baseline
    assert Config.fromfile(path).to_dict() == {**baseline, 'custom_hooks': [REGULARIZERS[name]]}


# --- the tool ---


COSINE = "dict(type='CosineAnnealingLR', by_epoch=True, begin={}, convert_to_iter_based=True)"
LINEAR = "dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end={}, convert_to_iter_based=True)"
DATA = "dict(dataset=dict(data_root='{data}', num_classes=2))"
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DISTILL = "custom_hooks = [dict(type='mmnetaug.DistillationHook', checkpoint='big.pth', temperature=4.0, weight=0.5)]"
# Flags, the same in a child config, and the same as --cfg-options.
FLAGS = {
    '--data-root {data}': (
        '\n'.join(['model = dict(num_classes=2)', *(f'{loader} = {DATA}' for loader in LOADERS)]),
        'model.num_classes=2 '
        + ' '.join(f'{loader}.dataset.data_root={{data}} {loader}.dataset.num_classes=2' for loader in LOADERS),
    ),
    '--arch mobilenetv2_w0.1': ("model = dict(arch='mobilenetv2_w0.1')", 'model.arch=mobilenetv2_w0.1'),
    '--epochs 40': ('train_cfg = dict(max_epochs=40)', 'train_cfg.max_epochs=40'),
    '--epochs 3': (
        f'train_cfg = dict(max_epochs=3)\nparam_scheduler = [{LINEAR.format(2)}, {COSINE.format(2)}]',
        'train_cfg.max_epochs=3 param_scheduler.0.end=2 param_scheduler.1.begin=2',
    ),
    '--epochs 1': (f'train_cfg = dict(max_epochs=1)\nparam_scheduler = [{COSINE.format(0)}]', None),
    '--schedule 1x': ('', 'train_cfg.max_epochs=155'),
    '--schedule 2x': ('train_cfg = dict(max_epochs=305)', 'train_cfg.max_epochs=305'),
    '--schedule 4x': ('train_cfg = dict(max_epochs=605)', 'train_cfg.max_epochs=605'),
    '--batch-size 64': ('train_dataloader = dict(batch_size=64)', 'train_dataloader.batch_size=64'),
    '--lr 0.01': ('optim_wrapper = dict(optimizer=dict(lr=0.01))', 'optim_wrapper.optimizer.lr=0.01'),
    '--seed 7': ('randomness = dict(seed=7)', 'randomness.seed=7'),
    '--amp': ("optim_wrapper = dict(type='AmpOptimWrapper')", 'optim_wrapper.type=AmpOptimWrapper'),
    '--workers 0': (
        '\n'.join(f'{loader} = dict(num_workers=0, persistent_workers=False)' for loader in LOADERS),
        ' '.join(f'{loader}.num_workers=0' for loader in LOADERS),
    ),
    '--workers 3': (
        '\n'.join(f'{loader} = dict(num_workers=3)' for loader in LOADERS),
        ' '.join(f'{loader}.num_workers=3' for loader in LOADERS),
    ),
    '--mixup 0.4': ("custom_hooks = [dict(type='mmnetaug.MixupHook', alpha=0.4)]", None),
    '--dropblock 0.3': ("custom_hooks = [dict(type='mmnetaug.DropBlockHook', rate=0.3)]", None),
    '--dropout 0.5': ("custom_hooks = [dict(type='mmnetaug.DropoutHook', rate=0.5)]", None),
    '--distill big.pth': (DISTILL, None),
    '--teacher big.pth': (DISTILL, None),
    '--mixup --autoaugment': (
        "custom_hooks = [dict(type='mmnetaug.AutoAugmentHook'), dict(type='mmnetaug.MixupHook', alpha=0.2)]",
        None,
    ),
}


@pytest.mark.parametrize('flags', FLAGS)
def test_what_a_flag_changes_can_be_written_in_a_config(flags, config_of_tool, image_tree, tmp_path):
    child, options = FLAGS[flags]
    base = ROOT / 'configs/pretrain/netaug_mbv2_tiny.py'
    changed = without_run(config_of_tool(base, *flags.format(data=image_tree).split()))
    written = child_of(tmp_path, base.stem, child.format(data=image_tree))
    assert changed == without_run(Config.fromfile(written)) == without_run(config_of_tool(written))
    if options:
        options = options.format(data=image_tree).split()
        assert changed == without_run(config_of_tool(base, '--cfg-options', *options))
    assert (changed == without_run(Config.fromfile(base))) == (flags == '--schedule 1x')


@pytest.mark.parametrize('name', REGULARIZERS)
@pytest.mark.parametrize('base', ['baseline_mbv2_tiny', 'netaug_mbv2_tiny'])
def test_a_regulariser_without_a_value_is_its_base_file(name, base, config_of_tool, tmp_path):
    written = Config.fromfile(child_of(tmp_path, base, '', f'_base_/regularizers/{name}'))
    assert written.custom_hooks == [REGULARIZERS[name]]
    for flag in [f'--{name}', *(['--teacher'] if name == 'distill' else [])]:
        assert without_run(config_of_tool(ROOT / f'configs/pretrain/{base}.py', flag)) == without_run(written)


def test_a_flag_replaces_the_hook_of_the_config(config_of_tool):
    config = config_of_tool(ROOT / 'configs/pretrain/mixup_mbv2_tiny.py', '--mixup', '0.7')
    assert config.custom_hooks == [{'type': 'mmnetaug.MixupHook', 'alpha': 0.7}]
    changed = config_of_tool(ROOT / 'configs/pretrain/mixup_mbv2_tiny.py', '--cfg-options', 'custom_hooks.0.alpha=0.7')
    assert without_run(config) == without_run(changed)


def test_where_a_run_goes(config_of_tool):
    config = config_of_tool(ROOT / f'configs/pretrain/{NANO}.py')
    assert (config.work_dir, config.resume, config.launcher) == (f'work_dirs/{NANO}', False, 'none')
    config = config_of_tool(ROOT / f'configs/pretrain/{NANO}.py', '--work-dir', 'here', '--resume')
    assert (config.work_dir, config.resume, config.launcher) == ('here', True, 'none')


def test_a_new_regulariser_is_one_class_and_one_base_file(config_of_tool, image_tree, tmp_path, monkeypatch):
    @HOOKS.register_module(force=True)
    class LabelNoiseHook(Hook):
        """Labels of ``share`` of the images become 0."""

        calls = 0

        def __init__(self, share):
            self.share = share

        def before_train(self, runner):
            runner.model.augments.append(self.change)

        def change(self, inputs, targets):
            LabelNoiseHook.calls += 1
            return inputs, torch.where(torch.rand(len(targets)) < self.share, 0, targets)

    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    (tmp_path / 'configs/_base_/regularizers/label-noise.py').write_text(
        "# change a share VALUE of all labels\ncustom_hooks = [dict(type='mmnetaug.LabelNoiseHook', share=0.1)]\n"
    )
    known = methods()
    monkeypatch.setattr('mmnetaug.config_files.CONFIGS', tmp_path / 'configs')
    base = ROOT / f'configs/pretrain/{NANO}.py'
    assert config_of_tool(base, '--label-noise').custom_hooks == [{'type': 'mmnetaug.LabelNoiseHook', 'share': 0.1}]
    options = ['--data-root', image_tree, '--work-dir', tmp_path / 'run', '--epochs', 1, '--batch-size', 8]
    config = config_of_tool(base, '--label-noise', '0.3', *options, '--workers', 0)
    assert config.custom_hooks == [{'type': 'mmnetaug.LabelNoiseHook', 'share': 0.3}]
    pretrain(config)
    assert LabelNoiseHook.calls == 6
    new = methods()
    assert new.pop('label-noise') == ('baseline', ['--label-noise'], ()) and new == known
