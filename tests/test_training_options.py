"""What MMEngine offers for a training, beside what we add: neither is lost without a word."""

import json
import multiprocessing
import os
import resource
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, RUNS, KillAt, Killed, build_detector, detector_config, pretrain_config, train_until
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import EpochBasedTrainLoop

from mmnetaug import InputError
from mmnetaug.apis.config import merge_cfg_options, read_config
from mmnetaug.apis.overrides import epochs_options, hook_options, worker_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import read_detector
from mmnetaug.engine.hooks import KeepFreedMemoryHook
from mmnetaug.engine.hooks.console_hook import _validations_after
from mmnetaug.engine.runner import give_back, training_runner
from mmnetaug.engine.schedule import validates_after, warmup_epochs
from mmnetaug.engine.work_dir import UNSAID
from mmnetaug.models.backbones import TinyNet
from mmnetaug.records import as_plain

NANO = 'baseline_mbv2_nano_cifar100'


def test_a_finished_run_that_is_resumed_exports_the_same_average(voc, tmp_path):
    exported = []
    for resume in (False, True):
        config = RUNS['EMA'](None, voc, tmp_path / 'run')
        config.resume = resume
        exported.append(read_detector(train_detector(config)['checkpoint'])[1])
    assert all(torch.equal(tensor, exported[1][name]) for name, tensor in exported[0].items())


def rates(schedule, epochs):
    """Learning rates of a schedule of 40 epochs with ``--epochs``."""
    config = Config({'train_cfg': {'max_epochs': 40}, 'param_scheduler': schedule})
    config.merge_from_dict(epochs_options(config, epochs))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedulers = [PARAM_SCHEDULERS.build({**each, 'optimizer': optimizer}) for each in config.param_scheduler]
    found = []
    for _ in range(epochs - 1):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        found.append(optimizer.param_groups[0]['lr'])
    return np.array(found)


@pytest.mark.parametrize(
    'phase',
    [
        {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 40},
        {'type': 'StepLR', 'step_size': 10, 'gamma': 0.1},
        {'type': 'CosineRestartLR', 'periods': [20, 20], 'restart_weights': [1, 0.5], 'eta_min': 0},
    ],
    ids=lambda phase: phase['type'],
)
def test_shorter_schedules_take_the_same_course(phase):
    whole, half = rates([phase], 40), rates([phase], 20)
    assert np.abs(whole[1::2] - half).max() < 0.1 * np.ptp(whole)
    assert half[-1] == pytest.approx(whole[-1], abs=0.02 * whole.max())


def test_a_cycle_behind_a_warm_up_ends_with_the_run():
    schedule = [
        {'type': 'LinearLR', 'start_factor': 0.1, 'end': 4},
        {'type': 'OneCycleLR', 'eta_max': 0.1, 'begin': 4, 'total_steps': 36},
    ]
    for epochs in (20, 40, 60):
        found = rates(schedule, epochs)
        assert found[-1] < 0.02 * found.max(), epochs
    periods = Config({'train_cfg': {'max_epochs': 30}, 'param_scheduler': [{'periods': [10, 10, 10]}]})
    assert sum(epochs_options(periods, 10)['param_scheduler'][0]['periods']) == 10


def test_which_epochs_are_validated():
    """As MMEngine's own loop decides."""
    loop = SimpleNamespace(val_begin=3, max_epochs=14, dynamic_milestones=[0, 10], dynamic_intervals=[4, 1])
    for epoch in range(1, 15):
        loop.epoch = epoch
        EpochBasedTrainLoop._decide_current_val_interval(loop)
        theirs = epoch >= loop.val_begin and (epoch % loop.val_interval == 0 or epoch == loop.max_epochs)
        assert validates_after(loop, epoch) == theirs, epoch


def test_the_console_counts_the_validations_that_will_be():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    vars(loop).update(
        val_begin=1, val_interval=10, _max_epochs=20, dynamic_milestones=[0, 15], dynamic_intervals=[10, 1]
    )
    runner = SimpleNamespace(train_loop=loop, val_loop=1, train_dataloader=range(10), max_iters=200, max_epochs=20)
    expected = []
    for epoch in range(1, 21):  # as MMEngine's own loop decides
        loop._epoch = epoch
        loop._decide_current_val_interval()
        expected.append(epoch % loop.val_interval == 0)
    loop.val_interval = 10
    assert _validations_after(runner, 0) == sum(expected) == 8
    assert _validations_after(runner, 160) == 4
    loop.val_interval = 1  # as MMEngine sets it from epoch 15 on
    assert _validations_after(runner, 160) == 4


def test_only_what_rises_is_a_warm_up():
    schedule = [{'type': 'LinearLR', 'start_factor': 0.1, 'begin': 0, 'end': 4}]
    assert warmup_epochs(Config({'param_scheduler': schedule})) == 4
    schedule[0].update(start_factor=1, end_factor=0.1)
    assert warmup_epochs(Config({'param_scheduler': schedule})) == 0


def test_saved_only_where_an_epoch_can_be_entered_again(image_tree, tmp_path):
    """With another sampler it begins anew, and the schedule would be ahead of it."""
    config = RUNS['baseline'](image_tree, None, tmp_path / 'run')
    config.train_dataloader.sampler = {'type': 'DefaultSampler', 'shuffle': True}
    config.default_hooks.checkpoint.save_optimizer = False
    with pytest.raises(Killed):
        train_until(config, 8)
    assert {path.name for path in (tmp_path / 'run').glob('*_*.pth')} == {'epoch_1.pth'}
    assert 'optimizer' not in torch.load(tmp_path / 'run/epoch_1.pth')


def test_the_seed_of_a_run_that_was_given_none(image_tree, tmp_path):
    def runner(**options):
        return training_runner(
            pretrain_config(image_tree, tmp_path / 'run', NANO, epochs=1, randomness={'seed': None}, **options)
        )

    first = runner()
    first.train()
    again = runner(resume=True)
    again.load_or_resume()
    assert again.train_dataloader.sampler.seed == again.seed == first.seed


def test_the_network_is_of_the_step_not_of_the_process(image_tree, tmp_path):
    config = pretrain_config(image_tree, tmp_path / 'run', 'netaug_mbv2_nano_cifar100', epochs=1)
    config.randomness.diff_rank_seed = True
    with pytest.raises(InputError, match='diff_rank_seed'):
        pretrain(config)


def test_a_last_image_that_is_alone(voc, tmp_path, capsys):
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    config.merge_from_dict({'train_dataloader.batch_size': 3, 'train_dataloader.drop_last': False})
    training_runner(config)
    assert 'Of 4 images in batches of 3 the last one is alone' in capsys.readouterr().out


def test_what_configs_did_not_say_was_what_they_say_now(image_tree, tmp_path):
    config = partial(pretrain_config, image_tree, tmp_path / 'run', 'netaug_mbv2_nano_cifar100', epochs=1)
    train_until(config())
    note = tmp_path / 'run/schedule.json'
    kept = {name: value for name, value in json.loads(note.read_text()).items() if name not in UNSAID}
    note.write_text(json.dumps(kept))
    training_runner(config(resume=True))
    for name in ('model.alpha', 'model.base_weight', 'default_hooks.netaug.statistics_images'):
        value = UNSAID[name]
        with pytest.raises(InputError, match=rf'was started with {name} {value}, not {name} {value / 2}'):
            training_runner(config(resume=True, **{name: value / 2}))


@pytest.mark.parametrize(
    ('recipe', 'name', 'now'),
    [
        ('gfl_baseline_voc', 'model.bbox_head.share_conv', False),
        ('yolov3_baseline_voc', 'model.data_preprocessor.batch_augments.0.interval', 1),
    ],
)
def test_a_run_of_an_earlier_recipe_goes_on_with_it(recipe, name, now, voc, tmp_path):
    config = partial(detector_config, voc, tmp_path / 'run', recipe, epochs=1)
    before = {name: UNSAID[name]}
    train_until(config(**before))
    note = tmp_path / 'run/schedule.json'
    kept = json.loads(note.read_text())
    assert kept.pop(name) == UNSAID[name]
    note.write_text(json.dumps(kept))
    training_runner(config(resume=True, **before))
    with pytest.raises(
        InputError, match=rf'was started with {name} {UNSAID[name]}, not {name} {now}: .* --cfg-options'
    ):
        training_runner(config(resume=True))


def test_opencv_in_parallel_before_processes_are_forked(image_tree, tmp_path):
    """What they cannot join are threads that are not in them."""
    config = pretrain_config(image_tree, tmp_path / 'run', NANO, epochs=1)
    config.merge_from_dict(worker_options(config, 1))
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (1500, 1500))
    try:
        assert pretrain(config)['epochs'] == 1
    finally:
        cv2.setNumThreads(before)
    assert not multiprocessing.active_children()


def test_a_run_that_fails_leaves_no_process(image_tree, tmp_path):
    config = pretrain_config(image_tree, tmp_path / 'run', NANO)
    config.merge_from_dict({**worker_options(config, 2), 'default_hooks.kill': {'type': 'mmnetaug.KillAt'}})
    KillAt.step = 7  # in the second epoch
    with pytest.raises(Killed):
        pretrain(config)
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not hasattr(os, 'confstr') or 'glibc' not in os.confstr('CS_GNU_LIBC_VERSION'), reason='no glibc')
def test_memory_is_given_back_after_training():
    def held():
        """MB that the process has of the system."""
        return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize() / 1e6

    def after_freeing():
        before = held()
        large = np.ones(10**7)
        assert held() > before + 70
        del large
        return held() - before

    hook = KeepFreedMemoryHook()
    runner = SimpleNamespace(hooks=[hook])
    try:
        with mock.patch.object(torch.cuda, 'is_available', lambda: False):
            hook.before_run(runner)
        before = held()
        assert after_freeing() > 70
    finally:
        give_back(runner)
    assert held() < before + 20  # and not what is freed later, which may have been a hole of what was kept


def test_numbers_of_numpy_are_saved_as_plain_ones():
    plain = as_plain({'best': np.float64(0.5), 'list': [np.int64(3), (np.float32(1), 'text')], 'none': None})
    assert plain == {'best': 0.5, 'list': [3, (1.0, 'text')], 'none': None}
    assert [type(value) for value in (plain['best'], plain['list'][0], plain['list'][1][0])] == [float, int, float]


def test_gradients_can_be_clipped_as_advised():
    for path in sorted((ROOT / 'configs/pretrain').glob('*.py')):
        config = read_config(path, 'pretrain')
        merge_cfg_options(config, ['optim_wrapper.clip_grad.max_norm=10'])
        assert config.optim_wrapper.clip_grad.max_norm == 10, path


def test_a_backbone_may_learn_more_slowly():
    config = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    merge_cfg_options(config, ['optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.1'])
    model = build_detector()
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    rates = {parameter: group['lr'] for group in optimizer.param_groups for parameter in group['params']}
    slow = {name for name, parameter in model.named_parameters() if rates[parameter] == pytest.approx(2e-4)}
    assert slow == {name for name, _ in model.named_parameters() if name.startswith('backbone.')}
    assert optimizer.param_groups[0]['lr'] == pytest.approx(2e-3)  # which logs and messages name


def test_no_hooks_of_ones_own():
    config = Config({'custom_hooks': None})
    assert hook_options(config, {'type': 'A'}) == {'custom_hooks': [{'type': 'A'}]}


def test_optimizers_of_other_kinds(image_tree):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
    wrapper = pretrain_config(image_tree, '', NANO).optim_wrapper
    wrapper.optimizer = {'type': 'AdamW', 'lr': 0.1, 'foreach': True}
    wrapper.paramwise_cfg = {'custom_keys': {'0': {'betas': [0.9, 0.99]}}}
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    assert sorted(map(str, (group['betas'] for group in groups))) == ['(0.9, 0.999)', '[0.9, 0.99]']
    assert len(groups) == 2 and all(group['foreach'] and not group['fused'] for group in groups)


def test_other_measures_of_a_classifier(image_tree, tmp_path):
    config = pretrain_config(image_tree, tmp_path / 'run', NANO, epochs=1)
    config.val_evaluator.topk = (2,)
    runner = training_runner(config)
    runner.train()
    assert runner.epoch == 1


def test_a_backbone_of_a_detector_by_the_usual_prefix(tmp_path):
    source = TinyNet('mobilenetv2_w0.1')
    path = tmp_path / 'detector.pth'
    torch.save({'state_dict': {f'backbone.{name}': tensor for name, tensor in source.state_dict().items()}}, path)
    init = {'type': 'Pretrained', 'checkpoint': str(path), 'prefix': 'backbone.'}
    backbone = TinyNet('mobilenetv2_w0.1', init_cfg=init)
    backbone.init_weights()
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in backbone.state_dict().items())
