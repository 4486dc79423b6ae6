"""Pretraining on images of one folder a class: from a config to ``export.pth``."""

import math
import time
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from mmnetaug.checkpoint import read_checkpoint
from mmnetaug.datasets.autoaugment import autoaugment
from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.engine.runtime import (
    SWITCHES,
    add_hook,
    bare_model,
    check_whole,
    fill_in_run,
    train_and_validate,
    training_runner,
    write_result,
)
from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.models.archs import get_arch
from mmnetaug.models.netaug import NetAug
from mmnetaug.models.network import load_network
from mmnetaug.visualization.plots import read_history

# Values of a config that a result keeps.
RECIPE = ('warmup_epochs', 'model', 'optim_wrapper', 'auto_scale_lr', *SWITCHES)


def pretrain_config(config: Config) -> Config:
    """Fill in what follows from the top-level values of a pretraining config.

    ``input_size`` goes to the transforms, ``num_classes`` to model and data, ``epochs`` and ``warmup_epochs`` to the
    schedule, the regularisers to the model and ``autoaugment`` to the transforms. Data loaders get a number of workers.

    Raises:
        InputError: a value out of range, or data that is not there or does not fit.
    """
    fill_in_run(config)
    check_whole('input_size', config.input_size, 16)
    get_arch(config.model.arch)
    train, val = (ImageFolder(**_folder(config, split), lazy_init=True) for split in ('train', 'val'))
    if train.metainfo['classes'] != val.metainfo['classes']:
        different = sorted(set(train.metainfo['classes']) ^ set(val.metainfo['classes']))
        raise InputError(
            f'{train.folder} and {val.folder} have different classes, first {", ".join(different[:5])}: expected '
            'the same class folders in both'
        )
    config.num_classes = config.model.num_classes = len(train.metainfo['classes'])
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.num_classes = config.num_classes
        for transform in loader.dataset.pipeline:
            if 'size' in transform:
                transform.size = config.input_size
    _add_regularizers(config, train.metainfo['classes'])
    check_whole('train_eval_images', config.train_eval_images, 0)  # 0: training accuracy is not measured
    if config.train_eval_images:
        add_hook(config, type='mmnetaug.TrainAccuracyHook', images=config.train_eval_images)
    return config


def lengthened(config: Config, times: int) -> int:
    """Epochs of a run whose epochs after warm-up are ``times`` those of the config.

    Raises:
        InputError: epochs of the config out of range.
    """
    check_whole('epochs', config.epochs, 1)
    check_whole('warmup_epochs', config.warmup_epochs, 0)
    warmup = min(config.warmup_epochs, config.epochs - 1)
    return warmup + times * (config.epochs - warmup)


def _add_regularizers(config: Config, classes: Sequence[str]) -> None:
    for name, below in [('mixup', math.inf), ('dropblock', 1), ('dropout', 1)]:
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
            expected = 'of at least 0 (0.2, say)' if below == math.inf else 'from 0 to below 1 (0.1, say)'
            raise InputError(f'{name} is {value!r}: expected a number {expected}, where 0 switches it off')
        config.model[name] = float(value)
    if config.dropblock:
        add_hook(config, type='mmnetaug.DropBlockHook')
    if not isinstance(config.autoaugment, bool):
        raise InputError(f'autoaugment is {config.autoaugment!r}: expected True or False')
    if config.autoaugment:
        *transforms, pack = config.train_dataloader.dataset.pipeline
        transforms = [transform for transform in transforms if transform.type != 'mmnetaug.ColorJitter']
        config.train_dataloader.dataset.pipeline = [*transforms, autoaugment(), pack]
    if not isinstance(config.distill, (dict, type(None))):
        raise InputError(f'distill is {config.distill!r}: expected its values, such as distill.checkpoint=TEACHER.pth')
    config.model.distill = config.distill if config.distill and config.distill.checkpoint else None
    if config.model.distill:
        _check_teacher(config.distill, classes)


def _check_teacher(distill: ConfigDict, classes: Sequence[str]) -> None:
    numbers = all(type(distill[name]) in (int, float) for name in ('temperature', 'weight'))
    if not (numbers and distill.temperature > 0 and 0 < distill.weight <= 1):
        raise InputError(
            f'distill has temperature {distill.temperature!r} and weight {distill.weight!r}: expected a temperature '
            'above 0 and a weight from above 0 to 1'
        )
    theirs = read_checkpoint(distill.checkpoint).get('meta', {}).get('classes')
    if theirs and list(theirs) != list(classes):
        different = sorted(set(theirs) ^ set(classes))
        raise InputError(
            f'the teacher {distill.checkpoint} knows {len(theirs)} classes and the data has {len(classes)} '
            f'(in only one of them: {", ".join(different[:5])}): expected the same; pretrain a teacher on this data'
        )
    load_network(distill.checkpoint, len(classes), distill.arch)


def _history(work_dir: str) -> list[dict[str, float]]:
    curves = {name: dict(read_history(work_dir, name)) for name in ('top1', 'train_eval_top1')}
    return [
        {'epoch': epoch, **{name: curve[epoch] for name, curve in curves.items() if epoch in curve}}
        for epoch in sorted(curves['top1'])
    ]


def _folder(config: Config, split: str) -> dict[str, Any]:
    dataset = config[f'{split}_dataloader'].dataset
    return {'data_root': dataset.data_root, 'split': dataset.split, 'num_classes': config.num_classes}


def pretrain(config: Config) -> dict[str, Any]:
    """Train, evaluate, and write ``export.pth`` and ``result.json`` to the work directory.

    Args:
        config: of :func:`pretrain_config`, with ``work_dir``.

    Returns:
        What ``result.json`` holds: accuracies in percent, those of each validation in ``history``, MACs, parameters,
        the recipe.
    """
    runner = training_runner(config)
    start = time.time()
    accuracy = train_and_validate(runner)
    seconds = time.time() - start
    network = bare_model(runner).network
    tiny = network.export() if isinstance(network, NetAug) else network
    result = {
        'arch': tiny.arch.name,
        'netaug': config.model.get('netaug'),
        **accuracy,
        'macs': count_macs(tiny, (3, config.input_size, config.input_size)),
        'params': count_params(tiny),
        'input_size': config.input_size,
        'num_classes': config.num_classes,
        'classes': list(runner.val_dataloader.dataset.metainfo['classes']),
        'epochs': config.epochs,
        'seed': runner.seed,
        'history': _history(config.work_dir),
        'recipe': {key: config[key] for key in RECIPE},
        'train_images': len(runner.train_dataloader.dataset),
        'batch_size': config.train_dataloader.batch_size,
        'train_seconds': round(seconds, 1),
    }
    return write_result(config, result, tiny, list(result))
