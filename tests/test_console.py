"""What a person sees of a run."""

import csv
import errno
import logging
import os
import sys
import types
from unittest import mock

import pytest
from helpers import Killed, detector_config, open_below, pretrain_config
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger, print_log

from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.engine import console
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.hooks import NothingLearntHook, ResultsHook
from mmnetaug.engine.hooks.console_hook import TimeLeft, headline
from mmnetaug.engine.runner import training_runner
from mmnetaug.progress import Bar


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_time_left_is_that_of_the_last_epoch_and_of_validations():
    clock = Clock()
    left = TimeLeft(steps_per_epoch=4, validation_steps=2, clock=clock)
    clock.now = 100  # until processes have started
    left.step()
    assert left.seconds(10, 1) is None
    for _ in range(3):
        clock.now += 5
        left.step()
    assert left.seconds(10, 3) == 10 * 5 + 3 * 2 * 5, 'a validation as two steps, none was seen yet'
    left.begin_validation()
    clock.now += 60
    left.end_validation()
    for _ in range(5):
        clock.now += 2
        left.step()
    assert left.seconds(10, 3) == 10 * 2 + 3 * 60, 'of the slower steps before, none is among the last four'


def test_durations():
    assert [console.duration(s) for s in (4.4, 89, 5400, 6600)] == ['4 s', '1 min', '90 min', '1 h 50 min']


def test_what_libraries_say_is_for_the_file(tmp_path, capsys):
    logger = MMLogger.get_instance(f'few lines {tmp_path}', log_file=str(tmp_path / 'a.log'))
    console.show_few_lines(logger)
    library = types.ModuleType('mmdet.somewhere')
    exec('def say(logger, *record): logger.log(*record)', library.__dict__)
    library.say(logger, logging.INFO, 'a whole config')
    library.say(logger, logging.WARNING, 'something is deprecated')
    library.say(logger, logging.ERROR, 'broken')
    logger.info('all is well')
    logger.warning('boxes left out')
    logger.info('a table', extra={'file_only': True})
    assert capsys.readouterr().out.splitlines() == ['error: broken', 'all is well', 'warning: boxes left out']
    for handler in logger.handlers:
        handler.flush()
    log = (tmp_path / 'a.log').read_text()
    assert all(text in log for text in ('whole config', 'deprecated', 'broken', 'well', 'left out', 'a table'))


@pytest.mark.parametrize(
    ('terminal', 'term', 'columns', 'bar'),
    [
        (True, 'xterm', '80', True),
        (True, 'dumb', '80', False),
        (True, 'xterm', '30', False),
        (False, 'xterm', '80', False),
    ],
)
def test_where_there_is_a_bar(monkeypatch, terminal, term, columns, bar):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: terminal, raising=False)
    monkeypatch.setenv('TERM', term)
    monkeypatch.setenv('COLUMNS', columns)
    assert console.has_progress_bar() == bar


class WriteAlone:
    """What a program may have put in the place of its output."""

    def __init__(self):
        self.text = ''

    def write(self, text):
        self.text += text


@pytest.mark.parametrize('stream', [None, WriteAlone()])
def test_output_that_is_no_file(monkeypatch, stream):
    monkeypatch.setattr(sys, 'stdout', stream)
    monkeypatch.setattr(sys, 'stderr', stream)
    assert not console.has_progress_bar()
    console.ConsoleHandler().handle(
        logging.makeLogRecord({'msg': 'epoch 1', 'levelno': logging.ERROR, 'levelname': 'ERROR'})
    )
    assert list(Bar('abc', desc='letters')) == ['a', 'b', 'c']
    assert stream is None or stream.text == 'error: epoch 1\n'


def test_a_detector_in_few_plain_lines(voc, tmp_path, capsys):
    """With a table of its validations, of which the best one is an export."""
    config = detector_config(voc, tmp_path / 'run', epochs=3)
    config.default_hooks.results = {'type': 'mmnetaug.ResultsHook'}
    config.train_cfg.val_interval = 1
    config.default_hooks.console.interval = 0
    result = train_detector(config)
    printed = capsys.readouterr()
    assert '\r' not in printed.out and '\x1b' not in printed.out and printed.err == ''
    lines = printed.out.splitlines()
    assert len(lines) < 25 and len([line for line in lines if line.startswith('epoch 3 of 3: AP50_11point')]) == 1
    assert any(line.startswith('epoch 1 of 3, step 2 of 2: loss') for line in lines)
    assert any('Trains on 4 images' in line for line in lines)
    assert lines[-1].startswith(f'In {tmp_path / "run"}: export.pth, best.pth, result.json, results.csv, curves.png')
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert lines[-1] in log.read_text() and not open_below(tmp_path)
    print_log('after it', 'current')
    assert capsys.readouterr().out == 'after it\n' and 'after it' not in log.read_text()
    with open(tmp_path / 'run' / 'results.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]['epoch'] == '3' and float(rows[-1]['AP50_area']) == pytest.approx(result['AP50_area'], abs=1e-5)
    assert {'seconds', 'lr', 'loss', 'loss_cls', 'loss_bbox', 'AP50/cat', 'AP50/dog'} <= rows[-1].keys()
    assert (tmp_path / 'run' / 'curves.png').stat().st_size


def test_what_was_measured_is_kept_for_an_epoch():
    """And no longer: MMEngine copies all of it in each step."""
    hub = MessageHub('test_what_was_measured_is_kept_for_an_epoch')
    log = types.SimpleNamespace(window_size=50, custom_cfg=[{'window_size': 'epoch'}])
    runner = types.SimpleNamespace(message_hub=hub, train_dataloader=range(1200), log_processor=log)
    for step in range(5000):
        if step % 1200 == 0:
            ResultsHook().before_train_epoch(runner)
        hub.update_scalar('train/loss', step)
    assert hub.get_scalar('train/loss').data[0].tolist() == list(range(3800, 5000))
    log.custom_cfg = [{'window_size': 'global'}]
    hub.update_scalar('train/new', 0)
    ResultsHook().before_train_epoch(runner)
    assert hub.get_scalar('train/new').max_length == 1000000


def test_a_resumed_table_goes_on(image_tree, tmp_path):
    hook = {'type': 'mmnetaug.ResultsHook'}
    options = {'default_hooks.results': hook, 'default_hooks.kill': {'type': 'mmnetaug.KillAfterFirstEpoch'}}
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=3, **options)
    config.train_cfg.val_interval = 1
    with pytest.raises(Killed):
        pretrain(config)
    (tmp_path / 'run' / 'results.csv').write_text('epoch,seconds,top1\n1,50,12\n2,60,13\n')  # the second was in vain
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=3)
    config.merge_from_dict({'default_hooks.results': hook, 'train_cfg.val_interval': 1, 'resume': True})
    result = pretrain(config)
    with open(tmp_path / 'run' / 'results.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['epoch'] for row in rows] == ['1', '2', '3'] and rows[0]['top1'] == '12'
    assert 50 <= float(rows[1]['seconds']) <= float(rows[2]['seconds']) < 60 + 50
    assert float(rows[2]['top1']) == pytest.approx(result['top1'], abs=1e-3)
    assert float(rows[2]['seconds']) <= result['train_seconds'] < 60 + 50


@pytest.mark.parametrize('content', [b'epoch,seconds\n1,\xff\n', b'epoch,seconds\n1,soon\n', 'epoch\n²\n'.encode()])
def test_a_damaged_table_is_kept_aside(tmp_path, content):
    runner = mock.MagicMock(iter=8, epoch=1, work_dir=str(tmp_path))
    (tmp_path / 'results.csv').write_bytes(content)
    hook = ResultsHook()
    hook.before_train(runner)
    assert (hook.rows, hook.before) == ([], 0.0) and not (tmp_path / 'results.csv').exists()
    assert (tmp_path / 'results.csv.damaged').read_bytes() == content
    assert 'the old one is results.csv.damaged' in runner.logger.warning.call_args.args[0]


def test_a_log_file_for_which_there_is_no_room_is_said_once(image_tree, tmp_path, capsys):
    runner = training_runner(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100'))
    (file,) = (handler for handler in runner.logger.handlers if isinstance(handler, logging.FileHandler))
    capsys.readouterr()
    with mock.patch.object(file.stream, 'flush', side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        for line in ('first', 'second'):
            runner.logger.info(line)
    printed = capsys.readouterr()
    said = f'warning: {file.baseFilename} cannot be written (No space left on device): the run goes on without a log'
    assert sorted(printed.out.splitlines()) == ['first', 'second', said] and not printed.err


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='a disk that is full')
def test_a_full_disk_ends_no_run_that_went_well(image_tree, tmp_path):
    with closing_runs():
        runner = training_runner(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100'))
        runner.logger.addHandler(logging.FileHandler('/dev/full'))
        runner.logger.info('no room')
    assert not any(isinstance(handler, logging.FileHandler) for handler in runner.logger.handlers)


@pytest.mark.parametrize(
    ('metrics', 'classes', 'epoch', 'said'),
    [
        ({'AP50_area': 0.004}, 3, 10, True),
        ({'AP50_area': 0.004}, 3, 9, False),  # before a tenth of the epochs
        ({'AP50_area': 0.02}, 3, 10, False),
        ({'coco/AP50': 0.0}, 80, 50, True),
        ({'top1': 51.0}, 2, 10, False),  # 50 is chance
        ({'top1': 50.5}, 2, 10, True),
        ({'top1': 2.5}, 100, 10, True),
        ({'top1': 3.0}, 100, 10, False),
        ({'own': 0.0}, 100, 10, False),
    ],
)
def test_nothing_learnt_is_said_once(metrics, classes, epoch, said):
    runner = mock.MagicMock(max_epochs=100, epoch=epoch, iter=5, cfg=Config())
    runner.val_dataloader.dataset.metainfo = {'classes': ['c'] * classes}
    runner.optim_wrapper.param_groups = [{'lr': 0.1, 'initial_lr': 0.4}]  # now, and where the schedule started
    hook = NothingLearntHook()
    hook.after_val_epoch(runner, metrics)
    hook.after_val_epoch(runner, metrics)
    assert runner.logger.warning.call_count == said
    if said:
        assert '(0.4 with this batch; --lr)' in runner.logger.warning.call_args.args[0]


def test_headline():
    metrics = {'coco/AP': 0.1, 'coco/AP50': 0.2, 'coco/AP50/cat': 0.3, 'coco/AP75': 0.4, 'coco/AP_small': 0.5}
    assert list(headline(metrics)) == ['AP', 'AP50', 'AP75']
    assert list(headline({'AP50/a/b': 0.1, 'pascal_voc/mAP': 0.2, 'own/score': 0.3})) == ['pascal_voc/mAP', 'own/score']


def test_trackers_see_the_console_and_the_log_file(voc, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mlflow', mock.MagicMock())
    config = detector_config(voc, tmp_path / 'run')
    config.visualizer.vis_backends = [{'type': 'MLflowVisBackend'}]
    train_detector(config)
    logged = [call.args[0] for call in sys.modules['mlflow'].log_metrics.call_args_list]
    assert any('AP50_area' in scalars for scalars in logged)


def test_a_tracker_that_was_not_opened_hides_no_failure(voc, tmp_path, monkeypatch):
    tracker = mock.MagicMock()
    tracker.Task.init.side_effect = ConnectionError('no server there')
    monkeypatch.setitem(sys.modules, 'clearml', tracker)
    config = detector_config(voc, tmp_path / 'run')
    config.visualizer.vis_backends = [{'type': 'ClearMLVisBackend'}]
    with pytest.raises(ConnectionError, match='no server there'):
        train_detector(config)
