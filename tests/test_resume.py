"""No kill loses work: a stopped run goes on to exactly the weights of an undisturbed one."""

import importlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers import ROOT, RUNS, Killed, compare_checkpoints, detector_config, pretrain_config, train_until
from mmengine.config import Config
from mmengine.hooks import Hook

from mmnetaug import InputError
from mmnetaug.apis.overrides import worker_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.engine.hooks import CheckpointHook
from mmnetaug.engine.runner import training_runner
from mmnetaug.registry import HOOKS


@pytest.mark.parametrize('kind', RUNS)
def test_a_killed_run_ends_as_an_undisturbed_one(image_tree, voc, tmp_path, kind):
    whole = train_until(RUNS[kind](image_tree, voc, tmp_path / 'whole'))
    steps = whole['meta']['iter']
    per_epoch = steps // 3
    assert per_epoch > 1
    config = lambda: RUNS[kind](image_tree, voc, tmp_path / 'killed')  # noqa: E731
    stops = [1, per_epoch + 1, 2 * per_epoch]  # within the first and the second epoch, and at the end of the latter
    for number, step in enumerate(stops):
        with pytest.raises(Killed):
            train_until(config(), step, resume=number > 0)
    compare_checkpoints(whole, train_until(config(), resume=True))


@pytest.mark.parametrize('kind', ['netaug', 'detection mixup'])
def test_the_number_of_workers_changes_nothing(image_tree, voc, tmp_path, kind):
    checkpoints = []
    for workers in (0, 2):
        config = RUNS[kind](image_tree, voc, tmp_path / str(workers))
        config.merge_from_dict(worker_options(config, workers))
        if workers:
            with pytest.raises(Killed):
                train_until(config, 3)
            config = RUNS[kind](image_tree, voc, tmp_path / str(workers))
            config.merge_from_dict(worker_options(config, workers))
        checkpoints.append(train_until(config, resume=workers > 0))
    compare_checkpoints(*checkpoints)


def test_a_seed_that_is_broken_shows(image_tree, voc, tmp_path, monkeypatch):
    """The comparison itself: where seeds do not follow from epoch and number a resumed run differs."""
    monkeypatch.setattr('mmnetaug.datasets.samplers.derived_seed', lambda *parts: next(seeds))
    seeds = itertools.count()
    build = RUNS['netaug']
    whole = train_until(build(image_tree, voc, tmp_path / 'whole'))
    with pytest.raises(Killed):
        train_until(build(image_tree, voc, tmp_path / 'killed'), 3)
    resumed = train_until(build(image_tree, voc, tmp_path / 'killed'), resume=True)
    with pytest.raises(AssertionError):
        compare_checkpoints(whole, resumed)


@pytest.mark.parametrize('moment', ['save', 'replace', 'note', 'unlink'])
def test_a_kill_within_a_save(image_tree, voc, tmp_path, monkeypatch, moment):
    """Before, while and after the new checkpoint appears, last_checkpoint names one that loads."""
    build = RUNS['baseline']
    whole = train_until(build(image_tree, voc, tmp_path / 'whole'))
    saves = []

    def die_at(function):
        def wrapped(*args, **kwargs):
            saves.append(moment)
            if len(saves) == 5:
                raise Killed
            return function(*args, **kwargs)

        return wrapped

    target = {
        'save': ('mmengine.runner.Runner.save_checkpoint', None),
        'replace': ('os.replace', None),
        'note': ('mmnetaug.engine.hooks.checkpoint_hook.write_text', None),
        'unlink': ('pathlib.Path.unlink', None),
    }[moment][0]
    owner, name = target.rsplit('.', 1)
    try:
        owner = importlib.import_module(owner)
    except ModuleNotFoundError:
        module, cls = owner.rsplit('.', 1)
        owner = getattr(importlib.import_module(module), cls)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die_at(getattr(owner, name)))
        with pytest.raises(Killed):
            train_until(build(image_tree, voc, tmp_path / 'killed'))
    latest = (tmp_path / 'killed' / 'last_checkpoint').read_text()
    torch.load(latest)
    compare_checkpoints(whole, train_until(build(image_tree, voc, tmp_path / 'killed'), resume=True))
    kept = sorted(path.name for path in (tmp_path / 'killed').glob('*.pth'))
    assert kept == ['best.pth', 'epoch_3.pth'], 'nothing else is left'


def tool(voc, work_dir, *more):
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(ROOT / 'configs/det/ssdlite_baseline_voc.py')]
    command += ['--data-root', str(voc), '--pretrained', 'none', '--arch', 'mobilenetv2_w0.1', '--size', '96']
    command += ['--batch-size', '2', '--workers', '0', '--work-dir', str(work_dir), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)},
        start_new_session=True,
    )  # fmt: skip


def wait_for(path, seconds=300):
    end = time.time() + seconds
    while not path.exists():
        assert time.time() < end, f'no {path}'
        time.sleep(0.05)


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(voc, tmp_path, number, status):
    """Also where all processes get it, as by Ctrl-C in a terminal."""
    process = tool(voc, tmp_path / 'run', '--epochs', '2000', '--workers', '1')
    wait_for(tmp_path / 'run' / 'last_checkpoint')
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == status and 'Traceback' not in errors
    assert 'It goes on with\n    python' in errors and errors.strip().endswith('--resume')
    latest = torch.load((tmp_path / 'run' / 'last_checkpoint').read_text())
    assert latest['meta']['iter'] > 0 and not (tmp_path / 'run' / 'export.pth').exists()


def announce(end):
    end.send('started')
    time.sleep(60)


def test_signals_are_given_back_and_forked_processes_keep_theirs(voc, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    class Fork(Hook):
        def after_train_iter(self, runner, **kwargs):
            assert signal.getsignal(signal.SIGINT) != before[1], 'of this run while it trains'
            started, child_end = multiprocessing.Pipe()
            child = multiprocessing.get_context('fork').Process(target=announce, args=(child_end,))
            child.start()
            started.recv()  # Python forgets a signal that comes before its own part of a fork is over
            child.terminate()
            child.join(10)
            assert child.exitcode == -signal.SIGTERM
            raise Killed

    monkeypatch.setitem(HOOKS.module_dict, 'Fork', Fork)
    with pytest.raises(Killed):
        train_detector(detector_config(voc, tmp_path / 'run', custom_hooks=[{'type': 'mmnetaug.Fork'}]))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_two_runs_in_one_folder(voc, tmp_path):
    process = tool(voc, tmp_path / 'run', '--epochs', '2000')
    wait_for(tmp_path / 'run' / 'last_checkpoint')
    second = tool(voc, tmp_path / 'run', '--epochs', '2000', '--resume')
    _, errors = second.communicate(timeout=300)
    process.kill()
    process.communicate()
    assert second.returncode == 2 and 'another run is at work in' in errors and 'Traceback' not in errors


def test_a_loss_that_is_no_number_ends_the_run(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run', epochs=9)
    config.optim_wrapper.pop('clip_grad')
    config.optim_wrapper.optimizer = {'type': 'SGD', 'lr': 1e9, 'weight_decay': 0.0}
    config.param_scheduler = [{'type': 'ConstantLR', 'factor': 1.0}]
    with pytest.raises(InputError, match=r'at iteration \d+ \(epoch \d+\), with a learning rate of .*--lr'):
        train_detector(config)
    assert not (tmp_path / 'run' / 'export.pth').exists()
    for path in (tmp_path / 'run').glob('epoch_*.pth'):
        assert all(torch.isfinite(value).all() for value in torch.load(path)['state_dict'].values())


def test_the_best_is_kept(image_tree, tmp_path, monkeypatch):
    values = iter([10.0, 30.0, 20.0])

    class Fixed(Hook):
        priority = 'HIGHEST'

        def after_val_epoch(self, runner, metrics=None):
            metrics['top1'] = next(values)

    monkeypatch.setitem(HOOKS.module_dict, 'Fixed', Fixed)
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=3)
    config.train_cfg.val_interval = 1
    config.default_hooks.fixed = {'type': 'mmnetaug.Fixed'}
    pretrain(config)
    best = torch.load(tmp_path / 'run' / 'best.pth')
    assert best['meta']['best'] == {'measure': 'top1', 'value': 30.0, 'epoch': 2} and 'optimizer' not in best


def test_a_moved_work_directory_resumes(image_tree, voc, tmp_path):
    build = RUNS['baseline']
    whole = train_until(build(image_tree, voc, tmp_path / 'whole'))
    with pytest.raises(Killed):
        train_until(build(image_tree, voc, tmp_path / 'before'), 4)
    (tmp_path / 'before').rename(tmp_path / 'after')
    compare_checkpoints(whole, train_until(build(image_tree, voc, tmp_path / 'after'), resume=True))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda folder: (folder / 'epoch_1.pth').write_bytes(b'PK\x03\x04 half'), 'cannot be read as a checkpoint'),
        (
            lambda folder: (folder / 'last_checkpoint').write_text('nowhere.pth'),
            r'names nowhere.pth, which is not',
        ),
        (lambda folder: (folder / 'last_checkpoint').write_bytes(b'\xff\xfe\x00'), 'last_checkpoint is damaged'),
        (lambda folder: (folder / 'schedule.json').write_text('{"a":'), r'schedule.json is damaged'),
    ],
)
def test_what_is_damaged_gets_a_sentence(image_tree, tmp_path, damage, message):
    pretrain(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1))
    damage(tmp_path / 'run')
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1)
    config.resume = True
    with pytest.raises(InputError, match=message):
        training_runner(config)


def test_every_config_saves_and_resumes_this_way():
    for path in sorted((ROOT / 'configs').glob('[dp]*/*.py')):
        config = Config.fromfile(path)
        assert config.train_cfg.type == 'mmnetaug.ResumableTrainLoop', path
        assert config.train_dataloader.sampler.type == 'mmnetaug.ResumableSampler', path
        assert config.default_hooks.checkpoint.type == f'mmnetaug.{CheckpointHook.__name__}', path
