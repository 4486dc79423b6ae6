"""Pretraining on images of one folder a class: from a config to ``export.pth``."""

import json
import time
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.engine.cpu import prepare_cpu
from mmnetaug.engine.runtime import fill_in_run
from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.models.archs import get_arch
from mmnetaug.models.netaug import NetAug


def read_config(path: Union[str, Path], options: Optional[dict] = None) -> Config:
    """A config file with ``options`` (dotted keys) merged in.

    Raises:
        InputError: no such file.
    """
    if not Path(path).is_file():
        raise InputError(f'no config at {path}: expected a file such as configs/pretrain/netaug_mbv2.py')
    config = Config.fromfile(str(path))
    config.merge_from_dict(options or {})
    return config


def check_work_dir(config: Config) -> None:
    """Refuse to train over the checkpoints of an earlier run.

    Raises:
        InputError: the work directory holds a run and ``config.resume`` is not set.
    """
    if (Path(config.work_dir) / 'last_checkpoint').is_file() and not config.get('resume'):
        raise InputError(
            f'{config.work_dir} holds the checkpoints of an earlier run. Continue it with --resume, or give '
            'another --work-dir'
        )


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
    if config.num_classes is None:
        config.num_classes = len(ImageFolder(**_folder(config, 'train'), lazy_init=True).metainfo['classes'])
    config.model.num_classes = config.num_classes
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.num_classes = config.num_classes
        for transform in loader.dataset.pipeline:
            if 'size' in transform:
                transform.size = config.input_size
    train, val = (ImageFolder(**_folder(config, split), lazy_init=True) for split in ('train', 'val'))
    if train.metainfo['classes'] != val.metainfo['classes']:
        different = sorted(set(train.metainfo['classes']) ^ set(val.metainfo['classes']))
        raise InputError(
            f'{train.folder} and {val.folder} have different classes, first {", ".join(different[:5])}: expected '
            'the same class folders in both'
        )
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
    check_work_dir(config)
    prepare_cpu(config)
    runner = Runner.from_cfg(config)
    start = time.time()
    runner.train()
    seconds = time.time() - start
    accuracy = runner.val()
    result = {}
    if is_main_process():
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        network = model.network
        tiny = network.export() if isinstance(network, NetAug) else network
        shape = (3, config.input_size, config.input_size)
        result = {
            'arch': tiny.arch.name,
            'netaug': config.model.get('netaug'),
            **accuracy,
            'macs': count_macs(tiny, shape),
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
        text = json.dumps(result, indent=2)
        result = json.loads(text)  # plain data, as it will be read
        export = Path(config.work_dir) / 'export.pth'
        state = {name: tensor.cpu().contiguous() for name, tensor in tiny.state_dict().items()}
        torch.save({'state_dict': state, 'meta': result}, export)
        (export.parent / 'result.json').write_text(text + '\n')
    return result
