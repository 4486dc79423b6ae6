"""Configs as MMDetection's users write them: what is taken, and what is refused before anything is written."""

import gc
import json
import logging
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, compare_checkpoints, detector_config, write_coco
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmnetaug import InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.run_config import finish_run_config, read_run_config
from mmnetaug.apis.train import check_overlap, train_detector
from mmnetaug.checkpoint import read_detector
from mmnetaug.cli import train as train_command
from mmnetaug.cli.run import main
from mmnetaug.engine.runner import build_runner
from mmnetaug.errors import Stopped
from mmnetaug.registry import HOOKS

BASE = f"_base_ = ['{ROOT}/configs/det/ssdlite_baseline_light_voc.py']\n"


@pytest.fixture
def refused(voc, tmp_path, capsys):
    """A function from a config's text, and options, to what ``mmnetaug train`` says instead of starting."""

    def train(text, *options):
        (tmp_path / 'mine.py').write_text(BASE + text)
        with pytest.raises(SystemExit) as end:
            main(['train', f'{tmp_path}/mine.py', '--data-root', str(voc), '--work-dir', f'{tmp_path}/run', *options])
        assert end.value.code == 2 and not (tmp_path / 'run').exists()
        return capsys.readouterr().err

    return train


@pytest.mark.parametrize(
    'text',
    [
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12)",
        "train_cfg = dict(_delete_=True, type='mmengine.IterBasedTrainLoop', max_iters=12)",
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=12)',
        'train_cfg = dict(by_epoch=False, max_iters=12)',
        'train_cfg = dict(_delete_=True, max_epochs=12)',
    ],
)
def test_training_goes_by_epochs(refused, text):
    said = refused(text)
    assert ': expected a loop that counts epochs' in said and 'max_epochs=N' in said, said


def test_epochs_that_do_not_end_and_loops_named_twice(voc, tmp_path, refused):
    said = refused("train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler'))")
    assert "'InfiniteSampler'} never ends an epoch: expected one that does, such as" in said
    assert 'has type and by_epoch: expected one of them' in refused('train_cfg = dict(by_epoch=True)')
    config = detector_config(voc, tmp_path / 'run')
    config.train_cfg = {'type': IterBasedTrainLoop, 'max_iters': 2}
    with pytest.raises(InputError, match='expected a loop that counts epochs'):
        train_detector(config)


def test_without_validation(refused):
    said = refused('val_cfg = val_dataloader = val_evaluator = None')
    assert 'the config has no val_cfg, val_dataloader, val_evaluator: expected what to train with, and what' in said
    said = refused('optim_wrapper = None\ntest_cfg = test_dataloader = test_evaluator = None')
    assert 'the config has no optim_wrapper: expected' in said


def test_without_a_test_part_it_is_that_of_validation(voc, tmp_path):
    (tmp_path / 'mine.py').write_text(f'{BASE}test_cfg = test_dataloader = test_evaluator = None')
    config = read_config(tmp_path / 'mine.py', 'det')
    assert config.test_dataloader == config.val_dataloader and config.test_evaluator == config.val_evaluator
    assert config.test_cfg == {'type': 'TestLoop'}

    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_light_voc', epochs=1)
    tested = json.loads(json.dumps(config.test_dataloader.to_dict()))
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    result = train_detector(config)
    assert result['config']['test_dataloader'] == tested and 'AP50_area' in result


@pytest.mark.parametrize(
    ('hook', 'option', 'message'),
    [
        ("_delete_=True, type='CheckpointHook'", '--checkpoint-interval 2', 'is CheckpointHook, and iterations'),
        ("type='CheckpointHook'", '', 'is CheckpointHook, and iterations and keep_best'),
        ("out_dir='elsewhere'", '', 'checkpoint.out_dir is elsewhere: expected checkpoints of epochs in the work'),
        ('by_epoch=False', '', 'checkpoint.by_epoch is False: expected checkpoints of epochs in the work'),
    ],
)
def test_checkpoint_hooks(refused, hook, option, message):
    assert message in refused(f'default_hooks = dict(checkpoint=dict({hook}))', *option.split())


class Signal(Hook):
    """SIGTERM within the first epoch, or within its validation."""

    def __init__(self, validation=False):
        self.validation = validation

    def after_train_iter(self, runner, **kwargs):
        if runner.iter == 0 and not self.validation:
            os.kill(os.getpid(), signal.SIGTERM)

    def after_val_iter(self, runner, **kwargs):
        if runner.epoch == 1 and self.validation:
            os.kill(os.getpid(), signal.SIGTERM)


class Failure(Hook):
    def after_train_iter(self, runner, **kwargs):
        raise RuntimeError('CUDA out of memory')


def test_a_plain_runner_that_fails_gives_signals_back(voc, tmp_path, monkeypatch):
    monkeypatch.setitem(HOOKS.module_dict, 'Failure', Failure)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_light_voc', epochs=1)
    config.default_hooks.failure = {'type': 'mmnetaug.Failure'}
    with pytest.raises(RuntimeError, match='CUDA out of memory'):
        Runner.from_cfg(config).train()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_saves_whatever_hook_saves_epochs(voc, tmp_path, monkeypatch):
    monkeypatch.setitem(HOOKS.module_dict, 'Signal', Signal)
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_light_voc', epochs=1)
    config.default_hooks.checkpoint = {'type': 'CheckpointHook', 'interval': 1}
    config.default_hooks.signal = {'type': 'mmnetaug.Signal'}
    with pytest.raises(Stopped):
        train_detector(config)
    assert (tmp_path / 'run/last_checkpoint').read_text() == str(tmp_path / 'run/iter_1.pth')
    config.resume = True
    assert train_detector(config)['epochs'] == 1
    assert not gc.get_freeze_count()  # or a program's own objects would stay for ever
    assert torch.load(tmp_path / 'run/epoch_1.pth')['meta']['iter'] == 2


@pytest.mark.parametrize('hook', ['CheckpointHook', 'mmnetaug.CheckpointHook'])
def test_a_signal_while_an_epoch_is_validated_that_was_not_saved(voc, tmp_path, monkeypatch, hook):
    """Validated is an average of weights; what is saved and gone on from are those that are trained."""
    monkeypatch.setitem(HOOKS.module_dict, 'Signal', Signal)

    def config(name, **options):
        settings = detector_config(voc, tmp_path / name, 'rtmdet_baseline_light_voc', train_cfg__val_interval=1)
        settings.default_hooks.checkpoint = {'type': hook, 'interval': 2}
        settings.merge_from_dict(options)
        return settings

    train_detector(config('whole'))
    with pytest.raises(Stopped):
        train_detector(config('stopped', **{'default_hooks.s': {'type': 'mmnetaug.Signal', 'validation': True}}))
    assert (tmp_path / 'stopped/last_checkpoint').read_text() == str(tmp_path / 'stopped/epoch_1.pth')
    train_detector(config('stopped', resume=True))
    compare_checkpoints(*(torch.load(tmp_path / name / 'epoch_2.pth') for name in ('whole', 'stopped')))


def complete(path, *options):
    """The config that ``mmnetaug train`` trains."""
    args = train_command.parser().parse_args([str(path), *options])
    config = read_run_config(args, 'det')
    finish_run_config(config, args)
    return config


def test_a_config_resumes_and_starts_several_processes(tmp_path):
    (tmp_path / 'mine.py').write_text(f"{BASE}resume = True\nlauncher = 'pytorch'")
    config = complete(tmp_path / 'mine.py')
    assert config.resume is True and config.launcher == 'pytorch'
    assert complete(tmp_path / 'mine.py', '--launcher', 'none').launcher == 'none'
    (tmp_path / 'mine.py').write_text(BASE)
    config = complete(tmp_path / 'mine.py', '--cfg-options', 'resume=True', 'launcher=slurm')
    assert config.resume is True and config.launcher == 'slurm'
    config = complete(tmp_path / 'mine.py')
    assert config.resume is False and config.launcher == 'none'


@pytest.mark.parametrize(
    ('scale', 'rate'),
    [
        ('dict(_delete_=True, enable=False, base_batch_size=16)', 0.04 * 12 / 16),
        ('dict(enable=True, base_batch_size=32)', 0.04 * 12 / 32),
        ('dict(_delete_=True, enable=False)', 0.04 * 12 / 4),
        ('None', 0.04 * 12 / 4),
    ],
)
def test_the_learning_rate_follows_the_batch_size(tmp_path, scale, rate):
    given = 'train_dataloader = dict(batch_size=4)\nmodel = dict(backbone=dict(init_cfg=None))\n'
    given += f'optim_wrapper = dict(optimizer=dict(lr=0.04))\nauto_scale_lr = {scale}\n'
    (tmp_path / 'mine.py').write_text(BASE + given)
    runner = build_runner(complete(tmp_path / 'mine.py', '--batch-size', '12', '--work-dir', f'{tmp_path}/run'))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    assert wrapper.get_lr()['lr'][0] == pytest.approx(rate)


def test_a_learning_rate_that_cannot_follow(refused):
    text = 'auto_scale_lr = None\noptim_wrapper = dict(optimizer=dict(_delete_=True, type="Adadelta"))'
    assert '--batch-size 8: the learning rate cannot follow without' in refused(text, '--batch-size', '8')


def test_a_config_goes_on_from_the_checkpoint_of_another_run(voc, tmp_path):
    def config(name, **options):
        return detector_config(voc, tmp_path / name, 'ssdlite_baseline_light_voc', epochs=2, **options)

    whole = config('whole')
    whole.default_hooks.checkpoint.max_keep_ckpts = -1
    train_detector(whole)
    train_detector(config('more', load_from=str(tmp_path / 'whole/epoch_1.pth'), resume=True))
    ends = [torch.load(tmp_path / name / 'epoch_2.pth') for name in ('whole', 'more')]
    compare_checkpoints(*ends)
    assert not (tmp_path / 'more/epoch_1.pth').exists()


def test_what_mmdetections_own_tools_make_of_a_run(voc, tmp_path):
    train_detector(detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_light_voc', epochs=1))
    checkpoint = tmp_path / 'run/epoch_1.pth'
    content = torch.load(checkpoint)
    torch.save({name: content[name] for name in ('meta', 'state_dict')}, tmp_path / 'published.pth')  # publish_model.py
    assert read_detector(tmp_path / 'published.pth')[0] == read_detector(checkpoint)[0]

    config = Config.fromfile(tmp_path / 'run/ssdlite_baseline_light_voc.py')
    config.default_hooks.visualization.update(draw=True, test_out_dir='seen')  # test.py --show-dir seen
    config.update(load_from=str(checkpoint), work_dir=str(tmp_path / 'test'))
    runner = Runner.from_cfg(config)
    runner.test()
    assert {path.name for path in (tmp_path / 'test').glob('*/seen/*')} == {'e.jpg', 'f.jpg'}
    names = runner.test_loop.dataloader.dataset.metainfo['classes'] + ('background',)  # confusion_matrix.py
    assert names == ('cat', 'dog', 'background')


def data_set(folder, kind, split):
    given = {'data_root': str(folder), 'ann_file': f'annotations/instances_{split}.json'}
    return {'type': kind, **given, 'data_prefix': {'img': split}, 'metainfo': {'classes': ('cat', 'dog')}}


@pytest.mark.parametrize('kind', ['mmnetaug.COCODetection', 'mmdet.CocoDataset'])
def test_images_to_train_and_to_test_on_are_compared_within_any_data_set(tmp_path, caplog, kind):
    boxes = [(1, 10, 10, 20, 20), (2, 30, 20, 30, 24)]
    for split, names in [('one', 'ab'), ('two', 'cd'), ('val', 'ef')]:
        write_coco(tmp_path, split, {f'{name}.jpg': boxes for name in names})
    (tmp_path / 'val/e.jpg').unlink()
    (tmp_path / 'val/e.jpg').symlink_to(tmp_path / 'two/d.jpg')
    one, two, val = (data_set(tmp_path, kind, split) for split in ('one', 'two', 'val'))
    both = {'type': 'mmengine.ConcatDataset', 'datasets': [one, two]}

    def check(train, test, allowed=False):
        loaders = [SimpleNamespace(dataset=DATASETS.build(dataset)) for dataset in (train, test)]
        runner = SimpleNamespace(train_dataloader=loaders[0], val_dataloader=loaders[1], logger=logging.getLogger())
        check_overlap(runner, allowed)

    with pytest.raises(InputError, match=r'1 of 2 images to test on are trained on too, first .*two/d\.jpg'):
        check({'type': 'mmengine.RepeatDataset', 'times': 2, 'dataset': both}, val)
    check(both, val, allowed=True)
    check(one, val)
    assert 'is not known' not in caplog.text


def test_data_sets_that_do_not_say_which_images_they_have(caplog):
    loader = SimpleNamespace(dataset=[1, 2])
    check_overlap(SimpleNamespace(train_dataloader=loader, val_dataloader=loader, logger=logging.getLogger()), False)
    assert 'list has no img_path of its images: whether images to test on are trained on is not known' in caplog.text
