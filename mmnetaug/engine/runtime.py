"""What pretraining and detection share: from the command line and a config file to MMEngine's runner."""

import argparse
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmnetaug.engine.cpu import prepare_cpu
from mmnetaug.errors import InputError


def add_run_arguments(parser: argparse.ArgumentParser, training: bool = True) -> None:
    """The options that all tools on MMEngine's runner have in common; :func:`run_config` reads them."""
    parser.add_argument('--work-dir', help='where checkpoints and logs go (default: work_dirs/CONFIG)')
    if training:
        parser.add_argument('--arch', help='another network, such as mobilenetv2_w0.5')
        parser.add_argument('--epochs', type=int, help='another length of training, warm-up included')
        parser.add_argument('--batch-size', type=int, help='images per device; the learning rate follows')
        parser.add_argument('--seed', type=int)
        parser.add_argument('--resume', action='store_true', help='continue the run in the work directory')
        parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='change any value: warmup_epochs=1'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


RESULT_VERSION = 1  # of result.json; another one is read differently
SCHEDULE = 'schedule.json'  # what a run must keep when it is resumed
# Values of the configs that change how a run is trained, beside its schedule.
SWITCHES = ('mixup', 'autoaugment', 'dropblock', 'dropout', 'distill')
# Folder of configs -> types of the models that its files are for.
KINDS = {'pretrain': ('mmnetaug.Classifier',), 'det': ('mmnetaug.SSDLite', 'mmnetaug.YOLOv3')}


def run_config(args: argparse.Namespace, kind: str, options: dict[str, Any]) -> Config:
    """The config of a run, as the command line asks for it.

    Args:
        args: with ``config`` and what :func:`add_run_arguments` adds.
        kind: as in :func:`read_config`.
        options: dotted key -> value; those that are None change nothing.
    """
    config = read_config(args.config, kind, {key: value for key, value in options.items() if value is not None})
    config.merge_from_dict(parse_cfg_options(args.cfg_options))
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher
    config.resume = getattr(args, 'resume', False)
    if getattr(args, 'amp', False):
        config.optim_wrapper.type = 'AmpOptimWrapper'
    return config


def parse_cfg_options(options: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE texts as MMEngine's ``DictAction`` understands them.

    Raises:
        InputError: a text without a key or without ``=``.
    """
    for option in options:
        if not option.partition('=')[0] or '=' not in option:
            raise InputError(f'--cfg-options {option}: expected KEY=VALUE, such as warmup_epochs=1')
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def read_config(path: Union[str, Path], kind: str, options: Optional[dict[str, Any]] = None) -> Config:
    """A config file with ``options`` (dotted keys) merged in.

    Args:
        path: of the file.
        kind: 'pretrain' or 'det', the folder of its kind in ``configs``.
        options: dotted key -> value.

    Raises:
        InputError: no such file, one that is no config, or one for another kind of model.
    """
    folder = f'configs/{kind}'
    if not Path(path).is_file():
        raise InputError(f'no config at {path}: expected a file of {folder}')
    try:
        config = Config.fromfile(str(path))
    except (SyntaxError, OSError, KeyError, AttributeError) as error:
        raise InputError(f'{path} is no config: {error}. Expected a file such as those of {folder}') from error
    found = config.get('model', {}).get('type')
    if found not in KINDS[kind]:
        expected = ' or '.join(KINDS[kind])
        raise InputError(f'{path} is a config for {found}: expected one for {expected}, a file of {folder}')
    config.merge_from_dict(options or {})
    return config


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise :class:`InputError` unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f'{name} is {value!r}: expected a whole number of at least {least}')


def fill_in_run(config: Config) -> None:
    """Fill in the lengths of the schedule and the number of workers.

    Args:
        config: with ``epochs``, ``warmup_epochs``, ``train_cfg``, ``train_dataloader``, ``val_dataloader``, and in
            ``param_scheduler`` a warm-up and a cosine or steps; with these, ``steps`` as shares of all epochs.

    Raises:
        InputError: epochs, a batch size or the seed out of range.
    """
    check_whole('epochs', config.epochs, 1)
    check_whole('warmup_epochs', config.warmup_epochs, 0)
    check_whole('training batch size', config.train_dataloader.batch_size, 2)  # normalisation of 1x1 maps needs two
    check_whole('test batch size', config.val_dataloader.batch_size, 1)
    if config.randomness.get('seed') is not None:
        check_whole('seed', config.randomness.seed, 0)
    config.warmup_epochs = min(config.warmup_epochs, config.epochs - 1)
    config.train_cfg.max_epochs = config.epochs
    warmup, main = config.param_scheduler
    warmup.end = config.warmup_epochs
    if main.type == 'MultiStepLR':
        main.milestones = [round(config.epochs * step) for step in config.steps]
    else:
        main.begin, main.end = config.warmup_epochs, config.epochs
        main.T_max = config.epochs - config.warmup_epochs
    if not config.warmup_epochs:
        config.param_scheduler = [main]
    for loader in (config.train_dataloader, config.val_dataloader):
        if loader.num_workers is None:
            loader.num_workers = min(8, usable_cores())
        loader.persistent_workers = loader.persistent_workers and loader.num_workers > 0


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def training_runner(config: Config) -> Runner:
    """MMEngine's runner for a filled-in config with ``work_dir``, ready to train.

    Raises:
        InputError: the work directory holds a run that is not to be resumed or that has another schedule, mixed
            precision without a GPU, or fewer images than a batch.
    """
    if config.optim_wrapper.type == 'AmpOptimWrapper' and not torch.cuda.is_available():
        raise InputError('mixed precision needs a GPU, and PyTorch sees none here: leave out --amp')
    schedule = _check_work_dir(config)
    prepare_cpu(config)
    # Loggers are found by this name and the second of the start: runs of one process that start together need others.
    config.setdefault('experiment_name', str(config.work_dir))
    add_hook(config, type='mmnetaug.EpochSeedHook')
    if config.get('launcher', 'none') != 'none':
        # Each process updates normalisation statistics of its own; evaluation needs them to be the same.
        add_hook(config, type='SyncBuffersHook')
    runner = Runner.from_cfg(config)
    loader = runner.train_loop.dataloader
    if not len(loader):
        raise InputError(
            f'{len(loader.dataset)} images to train on are less than one batch of {loader.batch_size}: give a '
            'smaller --batch-size'
        )
    if is_main_process():  # known from here on: the runner has set up the process group
        write_json(Path(config.work_dir) / SCHEDULE, schedule)
    return runner


def _check_work_dir(config: Config) -> dict[str, Any]:
    """What a run must keep when it is resumed, checked against a run that the work directory holds already."""
    names = ('epochs', 'warmup_epochs', 'arch', 'size', 'input_size', 'num_classes', *SWITCHES)
    schedule = {name: config[name] for name in names if name in config}
    if 'arch' in config.model:  # pretraining; a detector has the one above
        schedule.update(arch=config.model.arch, netaug=config.model.get('netaug'))
    schedule['batch_size'] = config.train_dataloader.batch_size
    schedule = json.loads(json.dumps(schedule))  # as it will be read: lists for tuples
    work_dir = Path(config.work_dir)
    note = work_dir / SCHEDULE
    if (work_dir / 'last_checkpoint').is_file():
        if not config.get('resume'):
            raise InputError(
                f'{work_dir} holds the checkpoints of an earlier run. Continue it with --resume, or give another '
                '--work-dir'
            )
        # MMEngine restores the schedule of the checkpoint and would go on at a constant learning rate.
        try:
            started = json.loads(note.read_text()) if note.is_file() else {}
        except ValueError as error:
            raise InputError(f'{note} is damaged ({error}): delete it to resume with these settings') from error
        if changed := [name for name in started if started[name] != schedule.get(name)]:
            theirs, ours = (', '.join(f'{name} {run.get(name)}' for name in changed) for run in (started, schedule))
            raise InputError(
                f'{work_dir} was started with {theirs}, not {ours}: resume it with its own settings, or give another '
                '--work-dir'
            )
    return schedule


class _LastMetrics(Hook):
    """Keeps what the last validation found, and after how many epochs that was."""

    epoch, metrics = -1, None

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict[str, Any]] = None) -> None:
        self.epoch, self.metrics = runner.epoch, metrics


def train_and_validate(runner: Runner) -> dict[str, Any]:
    """Train to the end; the metrics of the validation after it, which is not done twice."""
    last = _LastMetrics()
    runner.register_hook(last)
    runner.train()
    return last.metrics if last.epoch == runner.max_epochs else runner.val()


def derived_seed(*parts: int) -> int:
    """A seed of 32 bits out of a run's seed and counters. Hashed: neighbouring seeds of torch share their draws."""
    return random.Random('/'.join(map(str, parts))).getrandbits(32)


def add_hook(config: Config, **hook: Any) -> None:
    """One more hook, given by its ``type`` and arguments."""
    config.custom_hooks = [*config.get('custom_hooks', []), hook]


def bare_model(runner: Runner) -> nn.Module:
    """The runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def write_json(path: Union[str, Path], content: Union[dict, list]) -> None:
    """Write a JSON file that is there whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(json.dumps(content, indent=2) + '\n')
    os.replace(partial, path)


def write_result(config: Config, result: dict[str, Any], network: nn.Module, meta: Sequence[str]) -> dict[str, Any]:
    """Write ``export.pth`` and ``result.json`` to the work directory, once for all processes.

    Args:
        config: of the run.
        result: plain data.
        network: what to export.
        meta: keys of ``result`` that go into the checkpoint too.

    Returns:
        ``result`` as it will be read from the file.
    """
    result = json.loads(json.dumps({'version': RESULT_VERSION, **result}))
    if is_main_process():
        work_dir = Path(config.work_dir)
        state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        partial = work_dir / 'export.pth.partial'
        torch.save({'state_dict': state, 'meta': {key: result[key] for key in meta}}, partial)
        os.replace(partial, work_dir / 'export.pth')
        write_json(work_dir / 'result.json', result)
    return result
