"""No kill loses work: a stopped run goes on to exactly the weights of an undisturbed one."""

import csv
import itertools
import json
import multiprocessing
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from helpers import (
    ROOT,
    RUNS,
    KillAt,
    Killed,
    compare_checkpoints,
    detector_config,
    open_below,
    pretrain_config,
    train_until,
)
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook

from mmnetaug import InputError
from mmnetaug.apis.overrides import patience_options, worker_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.engine.hooks import CheckpointHook, FiniteLossHook, StopHook, SyncBuffersHook
from mmnetaug.engine.loops import ResumableTrainLoop
from mmnetaug.engine.runner import training_runner
from mmnetaug.engine.work_dir import locked
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


def test_a_kill_within_a_save(image_tree, voc, tmp_path, monkeypatch):
    """Before, while and after the new checkpoint appears, last_checkpoint names one that loads."""
    build = RUNS['baseline']
    whole = train_until(build(image_tree, voc, tmp_path / 'whole'))

    def die_at_fifth(function):
        calls = itertools.count(1)

        def wrapped(*args, **kwargs):
            if next(calls) == 5:
                raise Killed
            return function(*args, **kwargs)

        return wrapped

    for moment in (
        'mmengine.runner.Runner.save_checkpoint',
        'os.replace',
        'mmnetaug.engine.hooks.checkpoint_hook.write_text',
        'pathlib.Path.unlink',
    ):
        folder = tmp_path / moment
        with monkeypatch.context() as patch:
            patch.setattr(moment, die_at_fifth(pkgutil.resolve_name(moment)))
            with pytest.raises(Killed):
                train_until(build(image_tree, voc, folder))
        torch.load((folder / 'last_checkpoint').read_text())
        compare_checkpoints(whole, train_until(build(image_tree, voc, folder), resume=True))
        kept = sorted(path.name for path in folder.glob('*.pth'))
        assert kept == ['best.pth', 'epoch_3.pth'], 'nothing else is left'


def tool(voc, work_dir, *more):
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(ROOT / 'configs/det/ssdlite_baseline_voc.py')]
    command += ['--data-root', str(voc), '--pretrained', 'none', '--arch', 'mobilenetv2_w0.1', '--size', '96']
    command += ['--batch-size', '2', '--workers', '0', '--work-dir', str(work_dir), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)},
        start_new_session=True, preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(path, seconds=300):
    end = time.time() + seconds
    while not path.exists():
        assert time.time() < end, f'no {path}'
        time.sleep(0.05)


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_saves_and_says_how_to_go_on(voc, tmp_path, number, status):
    """Also where all processes get it, as from a terminal, and where nobody reads what is printed any more."""
    process = tool(voc, tmp_path / 'run', '--epochs', '2000', '--workers', '1')
    wait_for(tmp_path / 'run' / 'last_checkpoint')
    if number == signal.SIGHUP:
        process.stdout.close()
        (tmp_path / 'run' / 'results.csv').unlink(missing_ok=True)
        wait_for(tmp_path / 'run' / 'results.csv')  # of the next validation, which is printed
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
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
            child.join(60)
            assert child.exitcode == -signal.SIGTERM
            raise Killed

    monkeypatch.setitem(HOOKS.module_dict, 'Fork', Fork)
    with pytest.raises(Killed):
        train_detector(detector_config(voc, tmp_path / 'run', custom_hooks=[{'type': 'mmnetaug.Fork'}]))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_signals_of_a_program_in_c_stay_its_own(monkeypatch):
    """Which Python does not know and could not give back."""
    getsignal, before = signal.getsignal, signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, 'getsignal', lambda number: None if number == signal.SIGTERM else getsignal(number))
    hook = StopHook()
    hook.before_train(None)
    try:
        assert getsignal(signal.SIGTERM) == before and getsignal(signal.SIGINT) == hook._ask
    finally:
        hook.restore()
    assert getsignal(signal.SIGINT) != hook._ask


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
    assert not (tmp_path / 'run' / 'export.pth').exists() and not open_below(tmp_path)
    for path in (tmp_path / 'run').glob('epoch_*.pth'):
        assert all(torch.isfinite(value).all() for value in torch.load(path)['state_dict'].values())


@pytest.mark.parametrize('loss', [float('inf'), float('-inf'), float('nan')])
def test_an_infinite_loss_is_none_either(tmp_path, loss):
    optimizer = SimpleNamespace(get_lr=lambda: {'lr': [0.1]})
    runner = SimpleNamespace(iter=4, epoch=0, work_dir=str(tmp_path), optim_wrapper=optimizer)
    FiniteLossHook().after_train_iter(runner, 4, outputs={'loss': torch.tensor(3.0)})
    with pytest.raises(InputError, match=f'the loss is {loss} at iteration 5'):
        FiniteLossHook().after_train_iter(runner, 4, outputs={'loss': torch.tensor(loss)})


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


@pytest.mark.parametrize(
    ('options', 'found', 'best'),
    [
        ({}, [{'a': float('nan')}, {'a': 0.1}, {'a': float('nan')}], ('a', 0.1, 2)),
        ({}, [{'text': '0.9', 'a': 1, 'b': 9.0}, {'text': '0.1', 'a': 2, 'b': 8.0}], ('a', 2.0, 2)),
        ({'rule': 'less'}, [{'a': 2.0}, {'a': 1.0}, {'a': float('nan')}, {'a': 3.0}], ('a', 1.0, 2)),
        ({'save_best': ['b', 'a'], 'rule': 'less'}, [{'a': 2.0, 'b': 2.0}, {'a': 1.0, 'b': 3.0}], ('b', 2.0, 1)),
        ({'save_best': 'own/loss'}, [{'a': 1.0, 'own/loss': 2.0}, {'a': 1.0, 'own/loss': 1.0}], ('own/loss', 1.0, 2)),
    ],
)
def test_which_is_best(options, found, best):
    hook = CheckpointHook(**options)
    runner = mock.MagicMock(iter=1)
    with mock.patch.object(hook, '_save') as save, mock.patch.object(hook, '_save_best_checkpoint'):
        for runner.epoch, metrics in enumerate(found, 1):
            hook.after_val_epoch(runner, metrics)
    assert hook.best == dict(zip(('measure', 'value', 'epoch'), best))
    assert save.call_args.args[2]['best'] == hook.best


def test_what_cannot_be_best():
    with pytest.raises(InputError, match="checkpoint is lower: expected 'greater' or 'less'"):
        CheckpointHook(rule='lower')
    with pytest.raises(InputError, match=r'save_best is coco/bbox_mAP, and this validation measured coco/AP: expected'):
        CheckpointHook(save_best='coco/bbox_mAP').after_val_epoch(mock.MagicMock(iter=1), {'coco/AP': 0.5})


class Measured(Hook):
    """Validation finds these values of top-1, one after the other."""

    priority = 'HIGHEST'
    values = iter(())

    def after_val_epoch(self, runner, metrics=None):
        metrics['top1'] = next(Measured.values)


def measured(image_tree, work_dir, monkeypatch, values, **options):
    monkeypatch.setitem(HOOKS.module_dict, 'Measured', Measured)
    Measured.values = iter(values)
    hooks = {'default_hooks.measured': {'type': 'mmnetaug.Measured'}, 'train_cfg.val_interval': 1}
    return pretrain_config(image_tree, work_dir, 'baseline_mbv2_nano_cifar100', **{**hooks, **options})


def test_patience(image_tree, tmp_path, monkeypatch, capfd):
    """Small gains count, equal values do not, and a run that is resumed stops where it stopped."""
    run = partial(measured, image_tree, tmp_path / 'run', monkeypatch, epochs=9)
    result = pretrain(run([50, 50.001, 50.001, 50], **patience_options(2)))
    assert result['epochs'] == 4 and (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_4.pth')
    said = 'stops after epoch 4 of 9: top1 was best in epoch 2, and 2 validations since brought nothing better'
    assert said in ''.join(capfd.readouterr())
    pretrain(run([50], resume=True, **patience_options(2)))  # the result is of this validation
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_4.pth')
    pretrain(run([60, 1, 1, 1], resume=True, **patience_options(3)))
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_8.pth')
    with pytest.raises(InputError, match=r'patience is 0: expected a whole number of at least 1'):
        patience_options(0)
    with pytest.raises(InputError, match=r'--patience compares with best.pth'):
        pretrain(run([1], resume=True, **{**patience_options(2), 'default_hooks.checkpoint.keep_best': False}))


def test_a_run_deletes_its_own_checkpoints_alone(image_tree, tmp_path):
    run = tmp_path / 'run'
    run.mkdir()
    theirs = ['epoch_1_good.pth', 'epoch_12.pth', 'iter_77.pth']
    for name in theirs:
        (run / name).write_bytes(b'of somebody')
    build = RUNS['baseline']
    with pytest.raises(Killed):
        train_until(build(image_tree, None, run), 4)
    train_until(build(image_tree, None, run), resume=True)
    assert sorted(path.name for path in run.glob('*_*.pth')) == sorted([*theirs, 'epoch_3.pth'])
    assert all((run / name).read_bytes() == b'of somebody' for name in theirs)


def test_an_interrupted_validation_is_made_up_for(voc, tmp_path, monkeypatch):
    class KillWhileValidating(Hook):
        def after_val_iter(self, runner, **kwargs):
            if runner.epoch == 2:
                raise Killed

    def run(name, **options):
        config = detector_config(voc, tmp_path / name, 'ssdlite_baseline_voc', epochs=3)
        config.train_cfg.val_interval = 1
        config.merge_from_dict({'default_hooks.results': {'type': 'mmnetaug.ResultsHook'}, **options})
        return config

    monkeypatch.setitem(HOOKS.module_dict, 'KillWhileValidating', KillWhileValidating)
    whole = train_until(run('whole'))
    with pytest.raises(Killed):
        train_until(run('killed', **{'default_hooks.kill_validation': {'type': 'mmnetaug.KillWhileValidating'}}))
    compare_checkpoints(whole, train_until(run('killed'), resume=True))
    rows = []
    for name in ('whole', 'killed'):
        with open(tmp_path / name / 'results.csv', newline='') as file:
            measures = ('epoch', 'AP50_11point', 'AP50_area', 'AP', 'AP50/cat', 'AP50/dog')
            rows.append([{measure: row[measure] for measure in measures} for row in csv.DictReader(file)])
    assert rows[0] == rows[1] and [row['epoch'] for row in rows[1]] == ['1', '2', '3']
    assert (tmp_path / 'killed/curves.png').is_file()
    bests = [torch.load(tmp_path / name / 'best.pth')['meta']['best'] for name in ('whole', 'killed')]
    assert bests[0] == bests[1]


def test_a_run_that_starts_from_a_checkpoint_resumes_itself(image_tree, tmp_path):
    """MMEngine would resume ``load_from`` instead, or end where that holds bare weights."""
    build = RUNS['baseline']
    train_until(build(image_tree, None, tmp_path / 'first'), None)
    last = tmp_path / 'first/epoch_3.pth'
    content = torch.load(last)
    torch.save({'state_dict': content['state_dict'], 'meta': {}}, tmp_path / 'weights.pth')
    for start, name in ((tmp_path / 'weights.pth', 'weights'), (last, 'checkpoint')):
        config = build(image_tree, None, tmp_path / name)
        config.load_from = str(start)
        if name == 'checkpoint':
            config.train_cfg.max_epochs = 4
            config.param_scheduler[-1].end = 4
        with pytest.raises(Killed):
            train_until(config.copy(), 2, resume=name == 'weights')
        assert 'iter_' in (tmp_path / name / 'last_checkpoint').read_text()
        assert train_until(config.copy(), resume=True)['meta']['epoch'] == config.train_cfg.max_epochs


WRAPPED = {
    'RepeatDataset': lambda dataset: {'dataset': dataset, 'times': 2},
    'ConcatDataset': lambda dataset: {'datasets': [dataset, dataset]},
    'ClassBalancedDataset': lambda dataset: {'dataset': dataset, 'oversample_thr': 0.9},
}


@pytest.mark.parametrize('kind', WRAPPED)
def test_wrapped_data_sets_resume_too(image_tree, tmp_path, kind):
    def run(name):
        config = RUNS['baseline'](image_tree, None, tmp_path / name)
        wrapped = WRAPPED[kind](dict(config.train_dataloader.dataset))
        config.train_dataloader.dataset = {'type': f'mmengine.{kind}', **wrapped}
        return config

    whole = train_until(run('whole'))
    with pytest.raises(Killed):
        train_until(run('killed'), 3)
    compare_checkpoints(whole, train_until(run('killed'), resume=True))


def test_other_classes_and_other_images_are_not_resumed(voc, image_tree, tmp_path, monkeypatch):
    monkeypatch.setattr('time.strftime', lambda *_: '20260101_000000')  # runs of a folder and second keep apart, too
    config = partial(detector_config, voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    train_until(config(classes=['cat']))
    with pytest.raises(InputError, match=r"started with classes \['cat'\], not classes \['dog'\]: resume it with its"):
        train_until(config(classes=['dog']), resume=True)
    shutil.copytree(image_tree, tmp_path / 'tree')
    build = RUNS['baseline']
    train_until(build(tmp_path / 'tree', None, tmp_path / 'classifier'))
    written = tmp_path / 'classifier/baseline_mbv2_nano_cifar100.py'
    before = written.read_text()
    assert 'resume = False' in before
    one = next((tmp_path / 'tree/train').rglob('*.*'))
    shutil.copy(one, one.with_name(f'more{one.suffix}'))
    with pytest.raises(InputError, match=r'started with \d+ images to train on, not \d+: resume it with its own'):
        train_until(build(tmp_path / 'tree', None, tmp_path / 'classifier'), resume=True)
    assert written.read_text() == before
    note = tmp_path / 'run/schedule.json'
    kept = json.loads(note.read_text())
    for name in ('classes', 'images to train on', 'randomness.seed'):
        kept.pop(name)
    note.write_text(json.dumps(kept))  # as earlier releases wrote it
    train_until(config(classes=['cat']), resume=True)


def test_a_moved_work_directory_resumes(image_tree, voc, tmp_path):
    build = RUNS['baseline']
    whole = train_until(build(image_tree, voc, tmp_path / 'whole'))
    with pytest.raises(Killed):
        train_until(build(image_tree, voc, tmp_path / 'before'), 4)
    note = (tmp_path / 'before').rename(tmp_path / 'after') / 'last_checkpoint'
    note.write_text(rf'C:\runs\before\{Path(note.read_text()).name}')  # from another system, too
    compare_checkpoints(whole, train_until(build(image_tree, voc, tmp_path / 'after'), resume=True))


def test_what_is_damaged_gets_a_sentence(image_tree, tmp_path):
    pretrain(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1))
    for name, content, message in [
        ('epoch_1.pth', b'PK\x03\x04 half', 'cannot be read as a checkpoint'),
        ('last_checkpoint', b'nowhere.pth', 'names nowhere.pth, which is not'),
        ('last_checkpoint', b'\xff\xfe\x00', 'last_checkpoint is damaged'),
        ('schedule.json', b'{"a":', 'schedule.json is damaged'),
        ('schedule.json', b'[1]', r'schedule.json is damaged \(a list and no object\): delete it'),
        (
            'last_checkpoint',
            b'export.pth',
            r'names export.pth, which holds weights alone \(there: epoch_1.pth\): write',
        ),
    ]:
        folder = shutil.copytree(tmp_path / 'run', tmp_path / message)
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            training_runner(pretrain_config(image_tree, folder, 'baseline_mbv2_nano_cifar100', epochs=1, resume=True))


def test_a_checkpoint_without_its_optimizer_is_not_resumed(image_tree, tmp_path):
    """As ``best.pth`` is, while a run trains."""
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1)
    pretrain(config())
    content = torch.load(tmp_path / 'run/epoch_1.pth')
    best = {name: content[name] for name in ('meta', 'state_dict', 'message_hub')}
    torch.save(best, tmp_path / 'run/best.pth')
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'run/best.pth'))
    with pytest.raises(InputError, match=r'names best.pth, which holds weights alone'):
        training_runner(config(resume=True))


def test_a_damaged_best_is_named_and_loses_nothing(image_tree, tmp_path):
    run = tmp_path / 'run'
    config = partial(pretrain_config, image_tree, run, 'baseline_mbv2_nano_cifar100', epochs=1)
    pretrain(config())
    bare = run / 'bare.pth'
    torch.save({'state_dict': {}}, bare)
    kept = {path: path.read_bytes() for path in run.glob('e*.pth')}
    for content in (b'PK\x03\x04 half', bare.read_bytes()):
        (run / 'best.pth').write_bytes(content)
        with pytest.raises(InputError, match=r'best.pth is damaged, or not of this run: .* Delete it, and --resume'):
            pretrain(config(resume=True))
        assert (run / 'best.pth').read_bytes() == content and all(path.read_bytes() == kept[path] for path in kept)
    (run / 'best.pth').unlink()
    assert pretrain(config(resume=True))['best']['epoch'] == 1


@pytest.mark.parametrize('name', ['export.pth', 'result.json'])
def test_results_without_checkpoints_are_not_replaced(image_tree, tmp_path, name):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / name).write_bytes(b'of an earlier run')
    for resume in (False, True):
        with pytest.raises(
            InputError, match=rf'run holds {name} of an earlier run, .* give another --work-dir, or move'
        ):
            training_runner(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', resume=resume))
    assert [path.read_bytes() for path in (tmp_path / 'run').iterdir()] == [b'of an earlier run']


def test_an_optimizer_with_other_groups(image_tree, tmp_path):
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1)
    pretrain(config())
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth')
    checkpoint['optimizer']['param_groups'].reverse()
    torch.save(checkpoint, tmp_path / 'run/epoch_1.pth')
    with pytest.raises(InputError, match=r'run was started by another release, .* give another --work-dir'):
        pretrain(config(resume=True))


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(image_tree, tmp_path):
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=1)
    KillAt.step = 1
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/best.pth').write_bytes(b'of a validation before it')
    with pytest.raises(Killed):
        pretrain(config(**{'default_hooks.kill': {'type': 'mmnetaug.KillAt'}}))
    assert (tmp_path / 'run/schedule.json').is_file() and not (tmp_path / 'run/last_checkpoint').exists()
    assert pretrain(config(resume=True))['epochs'] == 1


def test_every_config_saves_and_resumes_this_way():
    for path in sorted((ROOT / 'configs').glob('[dp]*/*.py')):
        config = Config.fromfile(path)
        assert config.train_cfg.type == 'mmnetaug.ResumableTrainLoop', path
        assert config.train_dataloader.sampler.type == 'mmnetaug.ResumableSampler', path
        assert config.default_hooks.checkpoint.type == f'mmnetaug.{CheckpointHook.__name__}', path


def test_other_processes(image_tree, tmp_path, monkeypatch):
    """An epoch has other iterations then: what is left of it could not be found."""
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100')
    pretrain(config(epochs=1))
    monkeypatch.setattr('mmnetaug.engine.runner.get_world_size', lambda: 2)
    with pytest.raises(InputError, match=r'started with 1 processes, not 2: resume it with its own settings'):
        pretrain(config(epochs=1, resume=True))
    loop = SimpleNamespace(dataloader=mock.MagicMock(__len__=lambda _: 8), _iter=48, _epoch=5)
    for loop.done in (8, -8):
        with pytest.raises(InputError, match=r'48 iterations are not 5 epochs of 8 and part of another: resume with'):
            ResumableTrainLoop.run_epoch(loop)


def test_a_start_that_is_refused_leaves_schedule_and_config_alone(image_tree, tmp_path):
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100')
    runner = training_runner(config(epochs=1))
    assert not (tmp_path / 'run/schedule.json').exists()
    with locked(tmp_path / 'run'):
        code = f"""
import sys, mmnetaug; sys.path.insert(0, 'tests')
from helpers import pretrain_config
from mmnetaug.apis.pretrain import pretrain
pretrain(pretrain_config({str(image_tree)!r}, {str(tmp_path / 'run')!r}, 'baseline_mbv2_nano_cifar100', epochs=2))
"""
        done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert 'another run is at work in' in done.stderr and not (tmp_path / 'run/schedule.json').exists()
    assert not list((tmp_path / 'run').glob('*.py'))
    assert runner.schedule['processes'] == 1


def test_averages_have_the_statistics_of_all_processes(monkeypatch):
    summed = []
    for module in ('mmengine.hooks.sync_buffer_hook', 'mmnetaug.engine.hooks.buffers_hook'):
        monkeypatch.setattr(f'{module}.all_reduce_params', lambda tensors, op: summed.append((list(tensors), op)))
    average, model = (torch.nn.Sequential(torch.nn.BatchNorm2d(3)) for _ in range(2))
    hook, ema = SyncBuffersHook(), mock.MagicMock(spec=EMAHook, ema_model=average)
    hook.distributed = True
    hook.after_train_epoch(SimpleNamespace(model=model, hooks=[hook, ema]))
    (_, first), (statistics, second) = summed
    assert first == second == 'mean' and [*map(id, statistics)] == [
        id(average[0].running_mean),
        id(average[0].running_var),
    ]
