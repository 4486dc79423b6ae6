"""Pretraining: from a folder of images to export.pth."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmnetaug.engine.runtime import read_config
from mmnetaug.pretrain import lengthened, pretrain, pretrain_config

import mmnetaug
from mmnetaug import InputError
from mmnetaug.datasets import ImageFolder
from mmnetaug.engine.hooks import estimate_norm_statistics
from mmnetaug.evaluation import TopK
from mmnetaug.models import Classifier
from mmnetaug.registry import HOOKS
from mmnetaug.visualization import read_history

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / 'configs/pretrain').glob('*.py'))


def config_for(images, work_dir, name='netaug_mbv2_tiny_cifar100', **options):
    """A run of seconds on the images of the fixture."""
    config = read_config(
        ROOT / f'configs/pretrain/{name}.py',
        'pretrain',
        {
            'train_dataloader.dataset.data_root': str(images),
            'val_dataloader.dataset.data_root': str(images),
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'train_dataloader.batch_size': 8,
            'num_classes': 2,
            'epochs': 2,
            'work_dir': str(work_dir),
            **options,
        },
    )
    return config


@pytest.mark.parametrize('name', ['baseline_mbv2_tiny_cifar100', 'netaug_mbv2_tiny_cifar100'])
def test_a_run_ends_with_an_export_that_loads(image_tree, tmp_path, name):
    result = pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', name)))
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
    dataset = ImageFolder(
        image_tree, 'val', pretrain_config(config_for(image_tree, '')).val_dataloader.dataset.pipeline
    )
    for item in dataset:
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
    name, options = 'baseline_mbv2_nano_cifar100', {'train_cfg.val_interval': 1, 'dropout': 0.5, 'mixup': 0.2}
    for images, work_dir in [(10000, tmp_path / 'all'), (12, tmp_path / 'some')]:
        config = config_for(image_tree, work_dir, name, epochs=3, train_eval_images=images, **options)
        result = pretrain(pretrain_config(config))
        assert [row['epoch'] for row in result['history']] == [1, 2, 3]
        for row in result['history']:
            if images > 48:
                assert row['train_eval_top1'] == row['top1']
            hits = row['train_eval_top1'] / 100 * min(images, 48)
            assert hits == pytest.approx(round(hits))
    config = config_for(image_tree, tmp_path / 'none', name, epochs=1, train_eval_images=0)
    result = pretrain(pretrain_config(config))
    assert 'train_eval_top1' not in result['history'][0]


def test_the_last_epoch_is_validated_once(image_tree, tmp_path, monkeypatch):
    monkeypatch.setattr('time.strftime', lambda *_: '20260101_000000')  # runs of the same second keep apart, too
    validations = []

    @HOOKS.register_module(force=True)
    class CountValidations(Hook):
        def before_val(self, runner):
            validations.append(runner.epoch)

    for run, epochs, resume, expected in [('a', 3, False, [2, 3]), ('a', 3, True, [3]), ('b', 1, False, [1])]:
        options = {'epochs': epochs, 'resume': resume, 'train_cfg.val_interval': 2}
        config = pretrain_config(config_for(image_tree, tmp_path / run, 'baseline_mbv2_nano_cifar100', **options))
        config.custom_hooks.append(dict(type='mmnetaug.CountValidations'))
        validations.clear()
        result = pretrain(config)
        assert validations == expected, 'a finished run that is resumed is validated for its result'
        assert [row['epoch'] for row in result['history']] == ([2, 3] if run == 'a' else [1])
        assert result['history'][-1]['top1'] == result['top1']


def test_grouped_optimizer_is_that_of_mmengine(image_tree):
    config = pretrain_config(config_for(image_tree, ''))
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


class Killed(Exception):
    """As if the run had been stopped."""


@HOOKS.register_module()
class KillAfterFirstEpoch(Hook):
    priority = 'LOWEST'

    def after_train_epoch(self, runner):
        raise Killed


def test_a_stopped_run_resumes_to_the_same_result(image_tree, tmp_path):
    whole = pretrain(pretrain_config(config_for(image_tree, tmp_path / 'whole', epochs=3)))
    config = pretrain_config(config_for(image_tree, tmp_path / 'stopped', epochs=3))
    config.custom_hooks.append(dict(type='mmnetaug.KillAfterFirstEpoch'))
    with pytest.raises(Killed):
        pretrain(config)
    resumed = pretrain(pretrain_config(config_for(image_tree, tmp_path / 'stopped', epochs=3, resume=True)))
    assert any('resumed epoch: 1' in path.read_text() for path in (tmp_path / 'stopped').rglob('*.log'))
    rates = [dict(read_history(tmp_path / name, 'lr')) for name in ('whole', 'stopped')]
    assert rates[0] == pytest.approx(rates[1])
    assert resumed['epochs'] == whole['epochs'] == 3


def test_schedule_flag_multiplies_the_epochs_after_warm_up(image_tree, tmp_path):
    config = read_config(ROOT / 'configs/pretrain/baseline_mbv2_tiny.py', 'pretrain')
    assert [lengthened(config, times) for times in (1, 2, 4)] == [155, 305, 605]
    config.epochs, config.warmup_epochs = 3, 5
    assert [lengthened(config, times) for times in (1, 2, 4)] == [3, 4, 6]
    command = [sys.executable, 'tools/pretrain_cls.py', 'configs/pretrain/baseline_mbv2_nano_cifar100.py']
    command += ['--data-root', str(image_tree), '--work-dir', str(tmp_path / 'run'), '--batch-size', '8']
    options = ['--cfg-options', 'num_classes=2', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
    wrong = subprocess.run([*command, '--schedule', '2x', '--epochs', '3'], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode and 'error: --epochs 3 and --schedule 2x: give one of the two' in wrong.stderr
    command += ['--schedule', '2x', '--mixup', '--dropblock', *options, 'epochs=2', 'warmup_epochs=1']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'run/result.json').read_text())
    assert result['epochs'] == 3 and (result['recipe']['mixup'], result['recipe']['dropblock']) == (0.2, 0.1)


def test_a_run_is_neither_overwritten_nor_resumed_with_another_schedule(image_tree, tmp_path):
    pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', epochs=1)))
    with pytest.raises(InputError, match='--resume'):
        pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', epochs=1)))
    with pytest.raises(InputError, match=r'started with epochs .*its own settings'):
        pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', epochs=3, resume=True)))


@pytest.mark.parametrize(
    'changes',
    [{'num_classes': 3}, {'model.arch': 'mobilenetv2_w0.1'}, {'model.netaug': {'width_mults': (1.0, 2.0)}}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_run_is_not_resumed_as_another_network(changes, image_tree, tmp_path):
    """MMEngine resumes whatever fits and leaves the rest random."""
    name = 'baseline_mbv2_nano_cifar100'
    pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', name, epochs=1)))
    exported = (tmp_path / 'run/export.pth').read_bytes()
    if 'num_classes' in changes:
        for split in ('train', 'val'):
            shutil.copytree(image_tree / split / 'dark', image_tree / split / 'grey')
    key = next(iter(changes)).split('.')[-1]
    with pytest.raises(InputError, match=rf'started with {key} .*, not {key} .*its own settings'):
        pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', name, epochs=1, resume=True, **changes)))
    assert (tmp_path / 'run/export.pth').read_bytes() == exported


def test_schedule_of_netaug(image_tree, tmp_path):
    """Widths are drawn and channels sorted in the first half of the epochs, expansions throughout."""
    steps, sorts = [], []

    @HOOKS.register_module(force=True)
    class Watch(Hook):
        def before_train(self, runner):
            network = runner.model.network
            sort = network.sort_channels
            network.sort_channels = lambda: (sorts.append(runner.epoch), sort())

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            steps.append((runner.epoch, runner.model.augmented))

    draws = {}
    for seed in (0, 1):
        steps.clear(), sorts.clear()
        options = {'epochs': 4, 'warmup_epochs': 0, 'randomness.seed': seed, 'train_dataloader.batch_size': 24}
        config = pretrain_config(config_for(image_tree, tmp_path / str(seed), **options))
        config.custom_hooks.insert(0, dict(type='mmnetaug.Watch'))
        pretrain(config)
        draws[seed] = [json.dumps(widths) for _, widths in steps]
        assert sorts == [0, 1]
        stems = {half: {w['stem.0.conv'] for epoch, w in steps if (epoch >= 2) == half} for half in (False, True)}
        assert stems[False] & {29, 42} and stems[True] == {16}
    assert len(set(draws[0])) > 4
    assert not set(draws[0]) & set(draws[1])


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
    assert len({json.dumps(step[0]) for step in first}) > 6  # the draws differ from step to step


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


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_its_model_and_twins_differ_in_netaug_alone(path):
    config = Config.fromfile(path)
    model = dict(config.model, num_classes=config.num_classes or 20)
    assert model.pop('type') == 'mmnetaug.Classifier'
    network = Classifier(**model).network
    assert isinstance(network, mmnetaug.NetAug) == path.stem.startswith('netaug')
    if path.stem.startswith('netaug'):
        twin_name = path.name.replace('netaug_distill', 'distill').replace('netaug', 'baseline')
        twin = Config.fromfile(path.with_name(twin_name))
        del config.model['netaug'], config._cfg_dict['custom_hooks']
        assert config.to_dict() == twin.to_dict()


@pytest.mark.parametrize('network', ['mbv2_tiny', 'resnet50'])
@pytest.mark.parametrize('name, changed', [('mixup', 0.2), ('autoaugment', True), ('dropblock', 0.1), ('dropout', 0.2)])
def test_config_of_a_regulariser_is_the_baseline_with_its_switch(network, name, changed):
    config, baseline = (
        Config.fromfile(ROOT / f'configs/pretrain/{kind}_{network}.py').to_dict() for kind in (name, 'baseline')
    )
    assert not baseline[name] and config == {**baseline, name: changed}


def test_learning_rate_warms_up_then_falls_to_zero(image_tree, tmp_path):
    """Six steps an epoch with batches of 8: the rate of 128 images, 0.1, is scaled to 8."""
    pretrain(pretrain_config(config_for(image_tree, tmp_path, epochs=4, **{'default_hooks.logger.interval': 1})))
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    rates = [record['lr'] for record in map(json.loads, log.read_text().splitlines()) if 'lr' in record]
    assert len(rates) == 24
    peak = 0.1 * 8 / 128
    assert rates[0] == pytest.approx(peak * 1e-3)
    assert max(rates) == pytest.approx(peak) and rates.index(max(rates)) in (5, 6)
    expected = [peak / 2 * (1 + np.cos(np.pi * step / 18)) for step in range(18)]
    assert rates[6:] == pytest.approx(expected, abs=peak * 0.02)
