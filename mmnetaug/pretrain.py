"""Pretraining on images of one folder a class: from a config to ``export.pth``."""

import time
from typing import Any

from mmengine.config import Config

from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.engine.runtime import bare_model, fill_in_run, training_runner, write_result
from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.models.archs import get_arch
from mmnetaug.models.netaug import NetAug


def pretrain_config(config: Config) -> Config:
    """Fill in what follows from the top-level values of a pretraining config.

    ``input_size`` goes to the transforms, ``num_classes`` to model and data, ``epochs`` and ``warmup_epochs`` to the
    schedule. Data loaders get a number of workers.

    Raises:
        InputError: a value out of range, or data that is not there or does not fit.
    """
    fill_in_run(config)
    if not isinstance(config.input_size, int) or config.input_size < 32:
        raise InputError(f'input_size is {config.input_size!r}: expected a whole number of at least 32')
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
    return config


def _folder(config: Config, split: str) -> dict[str, Any]:
    dataset = config[f'{split}_dataloader'].dataset
    return {'data_root': dataset.data_root, 'split': dataset.split, 'num_classes': config.num_classes}


def pretrain(config: Config) -> dict[str, Any]:
    """Train, evaluate, and write ``export.pth`` and ``result.json`` to the work directory.

    Args:
        config: of :func:`pretrain_config`, with ``work_dir``.

    Returns:
        What ``result.json`` holds: accuracies in percent, MACs, parameters, the recipe.
    """
    runner = training_runner(config)
    start = time.time()
    runner.train()
    seconds = time.time() - start
    accuracy = runner.val()
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
        'recipe': {key: config[key] for key in ('warmup_epochs', 'model', 'optim_wrapper', 'auto_scale_lr')},
        'train_images': len(runner.train_dataloader.dataset),
        'batch_size': config.train_dataloader.batch_size,
        'train_seconds': round(seconds, 1),
    }
    return write_result(config, result, tiny, list(result))
