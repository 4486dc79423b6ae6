"""From a complete config to a trained model: checks around MMEngine's runner."""

import copy
import gc
import json
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from mmdet.registry import VISUALIZERS
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from mmnetaug.checkpoint import (
    load_weights,
    read_checkpoint,
    trained_normalisation,
    trained_padding,
    write_export,
    write_exports,
)
from mmnetaug.engine.closing import close_after_failure, close_files, close_later, end_workers
from mmnetaug.engine.console import show_few_lines
from mmnetaug.engine.cpu import prepare_distributed, start_worker
from mmnetaug.engine.hooks.checkpoint_hook import BEST
from mmnetaug.engine.hooks.console_hook import ConsoleHook
from mmnetaug.engine.hooks.memory_hook import KeepFreedMemoryHook
from mmnetaug.engine.hooks.results_hook import ResultsHook
from mmnetaug.engine.hooks.stop_hook import StopHook
from mmnetaug.engine.schedule import validates_after
from mmnetaug.engine.work_dir import (
    IMAGES,
    PROCESSES,
    SCHEDULE,
    check_work_dir,
    locked,
    other_settings,
    started,
    value_at,
)
from mmnetaug.errors import InputError, check_whole
from mmnetaug.normalisation import normalisation
from mmnetaug.records import RESULT_VERSION, write_json

# Entries that are whole numbers -> the least.
LEAST = {
    **{'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'randomness.seed': 0},
    **{'val_dataloader.batch_size': 1, 'test_dataloader.batch_size': 1},
}


def training_runner(config: Config) -> Runner:
    """MMEngine's runner for a complete config with ``work_dir``, ready to train.

    Raises:
        InputError: the work directory holds a run that is not to be resumed or that has another schedule, mixed
            precision without a GPU, ``torch.compile`` with NetAug, fewer images than a batch, a batch of a single
            image, or a number out of range.
    """
    if config.optim_wrapper.get('type') == 'AmpOptimWrapper' and not torch.cuda.is_available():
        raise InputError(
            'mixed precision needs a GPU, and PyTorch sees none here: leave out --amp (in a config AmpOptimWrapper)'
        )
    # normalisation of 1x1 maps needs two images
    check_whole('training batch size', config.train_dataloader.get('batch_size', 2), 2)
    if config.get('compile') and config.model.get('netaug'):
        raise InputError(
            'torch.compile would compile anew for each network that NetAug draws: leave out compile '
            '(--cfg-options compile=False), or train without NetAug'
        )
    schedule = check_work_dir(config)
    start, work_dir = config.get('load_from'), Path(config.work_dir)
    resumes = config.get('resume') and (work_dir / 'last_checkpoint').exists()
    if start and resumes and Path(start).resolve().parent != work_dir.resolve():
        config.load_from = start = None  # MMEngine would go on with what the run once started from
    local = start if start and '://' not in start else None
    checkpoint = read_checkpoint(local) if local else {}
    resumable = 'optimizer' in checkpoint if local else bool(start)
    anew = bool(config.get('resume')) and not resumes and not resumable
    if anew:  # MMEngine would only say that it did not find last_checkpoint, or miss the epoch of bare weights
        config.resume = False
    prepare_distributed(config)
    runner = build_runner(config, training=True)
    if anew:
        runner.logger.info(f'no checkpoint in {config.work_dir} to resume: starts from the beginning')
    if local and not config.get('resume'):
        _tell_of_other_inputs(runner, checkpoint)
    loader = runner.train_loop.dataloader
    images = len(loader.dataset)
    before = started(work_dir) if resumes else {}
    for name, number in ((IMAGES, images), (PROCESSES, get_world_size())):
        schedule[name] = number
        if before.get(name, number) != number:
            raise other_settings(work_dir, f'{before[name]} {name}', f'{number}')
    if not len(loader):
        raise InputError(
            f'{len(loader.sampler)} images to train on{" for each process" * (get_world_size() > 1)} are less than one '
            f'batch of {loader.batch_size}: give a smaller --batch-size, of at least 2'
        )
    if loader.batch_size and not loader.drop_last and len(loader.sampler) % loader.batch_size == 1:
        runner.logger.warning(
            f'Of {len(loader.sampler)} images in batches of {loader.batch_size} the last one is alone, and maps of one '
            'pixel need two: where that ends the run, give another --batch-size, or train_dataloader.drop_last=True'
        )
    runner.schedule = schedule  # written, as the config, when no other run is at work
    return runner


def _tell_of_other_inputs(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Warn where the weights of ``load_from`` were trained with other pixels or another padding than the config has: it
    is ``--pretrained`` that takes these over."""
    model = runner.cfg.model
    network = model.get('backbone', model)
    channels, padding = network.get('in_channels', 3), network.get('padding', 'symmetric')
    theirs, ours = trained_normalisation(checkpoint, channels), normalisation(model.get('data_preprocessor'), channels)
    options = []
    if theirs and theirs != ours:
        texts = {name: ','.join(map(str, theirs[name])) for name in ('mean', 'std')}
        texts['bgr_to_rgb'] = str(theirs['bgr_to_rgb'])
        options += ['--cfg-options', *(f'model.data_preprocessor.{name}={text}' for name, text in texts.items())]
    if 'arch' in network and trained_padding(checkpoint) not in (None, padding):
        options = ['--padding', trained_padding(checkpoint), *options]
    if options:
        runner.logger.warning(
            f'load_from={runner.cfg.load_from} was trained with pixels of another range or with another padding than '
            f'this config has; as there: {" ".join(options)}'
        )


def _load_export(model: nn.Module, path: str) -> bool:
    """Load a classifier's export, whose tensors MMEngine would not find; False where there is some that it finds."""
    checkpoint = read_checkpoint(path)
    tensors = {name.removeprefix('module.') for name in checkpoint.get('state_dict', checkpoint)}
    if tensors & model.state_dict().keys():
        return False
    if not hasattr(model, 'network'):
        raise InputError(
            f'load_from={path} has no tensor of this {type(model).__name__}: expected a checkpoint of one; weights of '
            'a backbone are given by --pretrained'
        )
    load_weights(model.network, path)
    return True


# Of MMEngine's runner itself, which leaves out those that are None; of others None would end it.
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def build_dataloader(*args: Any, **options: Any) -> DataLoader:
    """MMEngine's, whose processes :func:`~mmnetaug.engine.cpu.start_worker` prepares."""
    loader = Runner.build_dataloader(*args, **options)
    if loader.num_workers:
        loader.worker_init_fn = partial(start_worker, loader.worker_init_fn, cv2.getNumThreads())
        close_later(end_workers, loader)
    return loader


class _Runner(Runner):
    """MMEngine's, which leaves the console to ``ConsoleHook`` where the config has one, and leaves out any hook of
    ``default_hooks`` that is None."""

    starts: Counter[str] = Counter()

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """As in MMEngine, where runs of one process that start in the same second share scope, logs and scalars."""
        super().setup_env(env_cfg)
        self.starts[self._timestamp] += 1
        if (run := self.starts[self._timestamp]) > 1:
            self._timestamp += f'_{run}'

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        hooks = hooks or {}
        super().register_default_hooks(
            {name: hook for name, hook in hooks.items() if hook is not None or name in MMENGINE_HOOKS}
        )

    def dump_config(self) -> None:
        """As in MMEngine; of a run that trains it is done later, when no other is at work in its folder."""
        if self._train_loop is None:
            super().dump_config()

    def load_or_resume(self) -> None:
        """As in MMEngine, and an export of a classifier."""
        path = self._load_from
        if path and '://' not in path and not self._resume and not self._has_loaded:
            self._has_loaded = _load_export(bare_model(self), path)
        super().load_or_resume()

    def resume(self, *args: Any, **options: Any) -> None:
        """As in MMEngine, and with the sampler's seed, too, where that was the run's.

        Raises:
            InputError: an optimizer with other groups of parameters, as another release made them.
        """
        before, sampler = self.seed, self.train_dataloader.sampler
        try:
            super().resume(*args, **options)
        except ValueError as error:
            if 'parameter group' not in str(error):
                raise
            raise InputError(
                f'{self.work_dir} was started by another release, whose optimizer had other groups of parameters: '
                'resume it with that release, or give another --work-dir to start again'
            ) from error
        if getattr(sampler, 'seed', None) == before:
            sampler.seed = self.seed

    build_dataloader = staticmethod(build_dataloader)

    def build_logger(self, *args: Any, **options: Any) -> MMLogger:
        logger = super().build_logger(*args, **options)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream:
                handler.stream.reconfigure(encoding='utf-8')  # and not the system's, which may lack names of classes
                _say_once_what_is_not_written(logger, handler)
        close_later(close_files, logger)
        hooks = (self.cfg.get('default_hooks') or {}).values()
        if any(hook and hook['type'].rpartition('.')[2] == ConsoleHook.__name__ for hook in hooks):
            show_few_lines(logger)
        return logger

    def build_visualizer(self, *args: Any, **options: Any) -> Visualizer:
        visualizer = super().build_visualizer(*args, **options)
        close_later(close_after_failure, visualizer)
        return visualizer


def _say_once_what_is_not_written(logger: MMLogger, handler: logging.FileHandler) -> None:
    """Python would print a stack for each line that finds the disk full."""
    other, said = handler.handleError, []

    def handle(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            other(record)
        elif not said:
            said.append(error)
            logger.warning(
                f'{handler.baseFilename} cannot be written ({error.strerror}): the run goes on without a log'
            )

    handler.handleError = handle


def build_runner(config: Config, training: bool = False) -> Runner:
    """``Runner.from_cfg``, and with ``training`` all that training needs.

    Raises:
        InputError: a part of the config that does not exist, does not take an argument, or refuses a value, or a number
            out of range.
    """
    for name, least in LEAST.items():
        value = value_at(config, name)
        if value is not None:
            check_whole(name, value, least)
    freezes = training and not gc.get_freeze_count()
    if freezes:
        gc.freeze()  # MMEngine collects garbage for each data set: 0.3 s where all that was imported is looked through
    try:
        with building_parts():
            _own_visualizer(config)
            if torch.cuda.is_available():
                _copy_behind_computation(config)
            runner = _Runner.from_cfg(config)
            if training:
                runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
                if len(runner.train_loop.dataloader) and runner.param_schedulers:  # building one changes its optimizer
                    runner._build_param_scheduler(runner.param_schedulers, copy.deepcopy(runner.optim_wrapper))
                assert runner.val_loop is None or runner.val_loop.dataloader is not None
        return runner
    finally:
        if freezes:
            gc.unfreeze()


# What parts of a config raise that do not exist, do not take an argument, or refuse a value.
MISFITS = TypeError, KeyError, ValueError, AttributeError, ArithmeticError, AssertionError, ImportError, RuntimeError


@contextmanager
def building_parts(part: str = '') -> Iterator[None]:
    """Within, parts of a config that cannot be built raise :class:`InputError`; it names ``part``, or else where."""
    try:
        yield
    except InputError:
        raise
    except MISFITS as error:
        if isinstance(error, RuntimeError) and 'install' not in str(error):  # a package, as mmdet says it
            raise
        frames = traceback.extract_tb(error.__traceback__)
        text = str(error.args[0]) if error.args else ''
        said = text.splitlines()[0] if text else type(error).__name__
        place = '' if part else f' (in {Path(frames[-1].filename).name}, {frames[-1].name})'
        raise InputError(
            f'{part or "a part of the config"} does not fit: {said}{place}. Correct it in the config or --cfg-options'
        ) from error


def _copy_behind_computation(config: Config) -> None:
    """Batches in pinned memory, which a GPU fetches while it computes, unless the config says how."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if config.get(name):
            config[name].setdefault('pin_memory', True)
    if config.model.get('data_preprocessor'):
        config.model.data_preprocessor.setdefault('non_blocking', True)


def _own_visualizer(config: Config) -> None:
    """MMEngine shares visualizers by name: a second run of a process would write into the folder of the first."""
    visualizer = config.get('visualizer') or {}
    kind = VISUALIZERS.get(visualizer.get('type', 'Visualizer'))
    if kind and kind.check_instance_created(visualizer.get('name', '')):
        del visualizer.name  # that of the run is its default


def train_and_validate(runner: Runner) -> dict[str, Any]:
    """Train to the end; the metrics of the validation after it, which is not done twice.

    The model is left as it was validated: with the average of weights where there is one. ``runner.train_seconds`` is
    how long it took, with what was trained before the run was resumed, by its table of results.
    """
    start, last = time.time(), _LastValidation()
    runner.register_hook(last)
    runner.register_hook(_MissedValidation())
    with locked(Path(runner.work_dir)) if is_main_process() else nullcontext():
        try:
            if is_main_process():
                write_json(Path(runner.work_dir) / SCHEDULE, runner.schedule)
                Runner.dump_config(runner)
            runner.train()
        finally:
            give_back(runner)
        if last.metrics is None:  # a finished run that is resumed trains no more
            runner.val_loop.run()  # and not runner.val(), before which an average of weights would begin anew
    bare_model(runner).load_state_dict(last.state)
    before = sum(hook.before for hook in runner.hooks if isinstance(hook, ResultsHook))
    runner.train_seconds = round(before + time.time() - start, 1)
    return last.metrics


def give_back(runner: Runner) -> None:
    """Signals, the console and memory, to the program that trained, which may have ended by an exception."""
    for hook in runner.hooks:
        if isinstance(hook, (StopHook, KeepFreedMemoryHook, ConsoleHook)):
            hook.restore()


class _LastValidation(Hook):
    """Keeps what the last validation found, and the weights that it was of."""

    priority = 'VERY_HIGH'  # before an average of weights makes room again for the weights that are trained
    metrics = None

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        self.metrics = metrics
        self.state = {name: tensor.cpu().clone() for name, tensor in bare_model(runner).state_dict().items()}


class _MissedValidation(Hook):
    """Validates when a run is resumed after an epoch whose validation was interrupted: its checkpoint is older."""

    priority = 'LOWEST'  # when all else is ready to go on; registered last

    def before_train(self, runner: Runner) -> None:
        tables = [hook for hook in runner.hooks if isinstance(hook, ResultsHook)]
        epoch, loop = runner.epoch, runner.train_loop
        if not tables or runner.val_loop is None or not epoch or runner.iter != epoch * len(loop.dataloader):
            return
        if validates_after(loop, epoch) and epoch not in tables[0].epochs:
            loop.stop_training = False  # which this validation decides
            runner.val_loop.run()


def write_results(
    runner: Runner,
    result: dict[str, Any],
    exported: Callable[[nn.Module], nn.Module] = lambda model: model,
    meta: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``export.pth``, ``best.pth`` and ``result.json`` of a run behind :func:`train_and_validate`.

    Args:
        runner: of the run.
        result: what ``result.json`` holds of the network and its quality.
        exported: what is exported of the model.
        meta: what the exports say of it; all of the result if None.

    Returns:
        What ``result.json`` holds: also ``version``, ``epochs``, ``seed``, ``train_images``, ``batch_size``,
        ``processes``, ``train_seconds``, and ``best`` (``measure``, ``value`` and ``epoch`` of the best validation,
        whose weights are ``best.pth``; None where the run keeps none).
    """
    folder, best, best_model = Path(runner.work_dir), None, None
    if (folder / BEST).is_file():
        content = read_checkpoint(folder / BEST)
        best = content.get('meta', {}).get('best') or None
        if best and 'version' not in content['meta']:  # else it is an export already
            best_model = copy.deepcopy(bare_model(runner)).cpu()
            best_model.load_state_dict(content['state_dict'])
    training = {
        'epochs': runner.epoch,
        'seed': runner.seed,
        'train_images': len(runner.train_dataloader.dataset),
        'batch_size': runner.cfg.train_dataloader.batch_size,
        'processes': get_world_size(),
        'train_seconds': runner.train_seconds,
        'best': best,
    }
    result = json.loads(json.dumps({'version': RESULT_VERSION, **result, **training}))  # as it will be read
    if is_main_process():
        meta = meta or result
        write_exports(folder, exported(bare_model(runner)), meta, runner.cfg.get('export_safetensors', False))
        if best_model is not None:
            write_export(folder / BEST, exported(best_model), {**meta, 'best': best})
        write_json(folder / 'result.json', result)
    return result


def bare_model(runner: Runner) -> nn.Module:
    """The runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
