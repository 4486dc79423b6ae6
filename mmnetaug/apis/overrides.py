"""What the options of our tools do to a complete config.

Each function returns what it changes, as ``Config.merge_from_dict`` takes it (dotted key -> value), and changes nothing
itself: the same can be written as ``--cfg-options`` or in a config of one's own.
"""

import copy
import itertools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from mmnetaug.apis.config import before_packing, dataset_config, dataset_key, loaders
from mmnetaug.apis.image_sizes import image_size
from mmnetaug.apis.weights import fetch, imagenet_address
from mmnetaug.archs import get_arch
from mmnetaug.checkpoint import read_checkpoint, trained_normalisation
from mmnetaug.config_files import CONFIGS, config_names, regularizers
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.image_folder import class_folders
from mmnetaug.engine.schedule import warmup_epochs
from mmnetaug.errors import InputError, check_whole
from mmnetaug.models.task_modules.prior_generators import width_height
from mmnetaug.normalisation import GRAY

Overrides = dict[str, Any]

# Architecture -> ending of its files in configs/pretrain.
PRETRAIN_CONFIGS = {
    'mobilenetv2_tiny': 'mbv2_tiny',
    'mobilenetv2_w0.35': 'mbv2',
    'mobilenetv3_w0.35': 'mbv3',
    'proxylessnas_w0.35': 'proxyless',
    'mcunet': 'mcunet',
    'resnet50': 'resnet50',
}
# Where a backbone starts from an export of mmnetaug pretrain.
PRETRAINED = re.compile(r'work_dirs/(baseline|netaug)_(\w+)/export\.pth')
OR_ELSE = 'or give --pretrained imagenet (public ImageNet weights), a path, or none (random weights)'


# --- any training ---


def batch_size_options(config: Config, batch_size: int) -> Overrides:
    """``--batch-size``: images per device. The learning rate follows: MMEngine scales it from
    ``auto_scale_lr.base_batch_size`` where the config has that, and else it grows with the config's own batch size.

    Raises:
        InputError: too few images, or no learning rate or batch size to start from.
    """
    batch_size = check_whole('training batch size', batch_size, 2)  # normalisation of 1x1 maps needs two
    options: Overrides = {'train_dataloader.batch_size': batch_size}
    if (config.get('auto_scale_lr') or {}).get('base_batch_size'):
        return {**options, 'auto_scale_lr.enable': True}
    before = config.train_dataloader.get('batch_size')
    rate = (config.optim_wrapper.get('optimizer') or {}).get('lr')
    if not before or rate is None:
        raise InputError(
            f'--batch-size {batch_size}: the learning rate cannot follow without auto_scale_lr.base_batch_size, or '
            'train_dataloader.batch_size and optim_wrapper.optimizer.lr, in the config: write them there, or keep the '
            f'rate with --cfg-options train_dataloader.batch_size={batch_size}'
        )
    return {**options, 'optim_wrapper.optimizer.lr': rate * batch_size / before}


def worker_options(config: Config, workers: int) -> Overrides:
    """``--workers``: processes that load data for each loader; 0 loads in the process that trains."""
    workers = check_whole('workers', workers, 0)
    return {
        f'{loader}.{key}': value
        for loader in loaders(config)
        for key, value in [('num_workers', workers), ('persistent_workers', workers > 0)]
    }


def patience_options(validations: int) -> Overrides:
    """``--patience``: stop when so many validations in a row have brought nothing better."""
    validations = check_whole('patience', validations, 1)
    return {'default_hooks.early_stopping': {'type': 'mmnetaug.PatienceHook', 'validations': validations}}


def epochs_options(config: Config, epochs: int) -> Overrides:
    """``--epochs``: another length of training. A warm-up keeps its length, at most all epochs but one; all else of the
    schedule keeps its place in what remains: milestones, where a phase begins or ends, and periods, in proportion.

    Args:
        config: complete.
        epochs: warm-up included.
    """
    epochs = check_whole('epochs', epochs, 1)
    before = config.train_cfg.get('max_epochs')
    check_whole('train_cfg.max_epochs', before, 1)
    warmup = warmup_epochs(config)
    shorter = min(warmup, epochs - 1)

    def moved(epoch: int, begin: int = 0) -> int:
        return shorter if epoch == warmup else round(epoch * epochs / before)

    def periods(lengths: Sequence[int], begin: int) -> list[int]:
        ends = [begin, *(begin + length for length in itertools.accumulate(lengths))]
        return [max(1, moved(end) - moved(start)) for start, end in itertools.pairwise(ends)]

    changes: dict[str, Callable[[Any, int], Any]] = {  # of a value and where its phase began
        'begin': moved,
        'end': moved,
        'milestones': lambda epochs, _: [moved(epoch) for epoch in epochs],
        'periods': periods,
        'total_steps': lambda length, begin: moved(begin + length) - moved(begin),
        'step_size': lambda length, _: max(1, round(length * epochs / before)),
    }

    schedulers = []
    given = config.get('param_scheduler') or []
    for scheduler in given if isinstance(given, list) else [given]:
        scheduler = scheduler.to_dict()
        if scheduler.get('by_epoch', True):
            scheduler.pop('T_max', None)  # which MMEngine takes from begin and end
            begin = scheduler.get('begin', 0)
            for key, change in changes.items():
                if scheduler.get(key) is not None:
                    scheduler[key] = change(scheduler[key], begin)
        end = scheduler.get('end')
        if (math.inf if end is None else end) > scheduler.get('begin', 0):  # else a phase of no length
            schedulers.append(scheduler)
    return {'train_cfg.max_epochs': epochs, **({'param_scheduler': schedulers} if given else {})}


def lengthened(config: Config, times: int) -> int:
    """Epochs of a run whose epochs after warm-up are ``times`` those of the config (``--schedule 2x``)."""
    check_whole('train_cfg.max_epochs', config.train_cfg.max_epochs, 1)
    warmup = min(warmup_epochs(config), config.train_cfg.max_epochs - 1)
    return warmup + times * (config.train_cfg.max_epochs - warmup)


def hook_options(config: Config, *hooks: Mapping[str, Any], without: Sequence[str] = ()) -> Overrides:
    """More of ``custom_hooks``; each replaces one of its type, and those of the types ``without`` go."""
    types = {hook['type'] for hook in hooks} | set(without)
    kept = [hook for hook in config.get('custom_hooks') or [] if hook['type'] not in types]
    return {'custom_hooks': [*kept, *hooks]}


# --- pretraining ---


def regularizer_hook(name: str, value: Any = None) -> dict[str, Any]:
    """The hook of a regulariser, whose first argument is ``value`` unless that is None."""
    hook, _ = regularizers()[name]
    arguments = [key for key in hook if key != 'type']
    return hook if value is None else {**hook, arguments[0]: value}


def image_folder_options(config: Config, data_root: str) -> Overrides:
    """``--data-root`` of pretraining: class folders elsewhere, with as many classes as there are.

    Raises:
        InputError: no such folders, or different classes to train and to validate on.
    """
    train, val = (
        class_folders(Path(data_root) / dataset_config(config, loader).get('split', ''))
        for loader in ('train_dataloader', 'val_dataloader')
    )
    if train != val:
        different = sorted(set(train) ^ set(val))
        raise InputError(
            f'the classes to train and to validate on in {data_root} differ, first {", ".join(different[:5])}: '
            'expected the same class folders in both'
        )
    options: Overrides = {'model.num_classes': len(train)}
    for loader in loaders(config):
        key = dataset_key(config, loader)
        options.update({f'{key}.data_root': data_root, f'{key}.num_classes': len(train)})
    return options


# --- detection ---


def detection_data_options(
    config: Config,
    data_root: str | Path | None,
    classes: Sequence[str] | None = None,
    train: bool = True,
    files: Mapping[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> Overrides:
    """``--data-root``, ``--classes``, ``--train-ann`` and the like: another data set.

    Args:
        config: complete; without training part where not ``train``.
        data_root, classes, files: as in :func:`~mmnetaug.datasets.discovery.find_detection_data`.
        train: whether there is a training part.
        allow_outside: read images outside the data folder too.

    Raises:
        InputError: the data set cannot be used; see there.
    """
    data = find_detection_data(data_root, list(classes) if classes else None, train, files)
    purposes = {'test_dataloader': 'test', **({'train_dataloader': 'train', 'val_dataloader': 'test'} if train else {})}
    options: Overrides = {'model.bbox_head.num_classes': len(data['classes'])}
    for loader, purpose in purposes.items():
        key, before = dataset_key(config, loader), dataset_config(config, loader)
        new = {**data[purpose], 'metainfo': {'classes': data['classes']}}
        if allow_outside:
            new['allow_outside'] = True
        if 'split' in before and 'split' not in new:  # an argument that only this layout has
            kept = {name: value for name, value in before.items() if name != 'split'}
            options[key] = {**kept, **new, '_delete_': True}
        else:
            options.update({f'{key}.{name}': value for name, value in new.items()})
    for evaluator in ('test_evaluator', *(['val_evaluator'] if train else [])):
        options[evaluator] = evaluators(data)
    return options


def own_data_options(config: Config, classes: Sequence[str] | None, allow_outside: bool) -> Overrides:
    """``--classes`` and ``--allow-outside`` without other data: of what the config names.

    Raises:
        InputError: what is found there cannot be used, or is not what the config trains and tests on.
    """
    if not classes:
        return {f'{dataset_key(config, loader)}.allow_outside': True for loader in loaders(config) if allow_outside}
    before = {loader: dataset_config(config, loader) for loader in loaders(config)}
    options = detection_data_options(
        config, before['train_dataloader'].get('data_root') or '.', classes, allow_outside=allow_outside
    )
    changed = copy.deepcopy(config)
    changed.merge_from_dict(options)
    for loader, dataset in before.items():
        own, found = _annotations(dataset), _annotations(dataset_config(changed, loader))
        if own != found and any(Path(path).exists() for path, _ in own):
            ours, theirs = (
                ', '.join(f'{path} {split}'.strip() for path, split in sorted(each)) for each in (own, found)
            )
            raise InputError(
                f'the config reads {ours}, and options of the data would read {theirs}: name the data (--data-root, or '
                '--train-ann and --test-ann), or write metainfo=dict(classes=(...)) of the data sets and '
                'model.bbox_head.num_classes into the config'
            )
    return options


def _annotations(dataset: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Paths of a data set's annotations or lists of images, each with the part of it that is read, '' for all."""
    names = dataset.get('ann_file') or []
    names = [names] if isinstance(names, str) else names
    folder, split = dataset.get('data_root') or '', dataset.get('split', '')
    return {(os.path.normpath(Path(folder, name)), split) for name in names}


def evaluators(data: dict) -> list[dict]:
    """The measures for a data set of :func:`~mmnetaug.datasets.discovery.find_detection_data`.

    VOC and YOLO layout: average precision at IoU 0.5 by 11 points of recall (VOC2007) and by the area under the curve
    (since VOC2010), of each class too, and over IoU 0.5 to 0.95; boxes of VOC are of whole pixels. COCO layout:
    pycocotools' average precision over IoU 0.5 to 0.95, at 0.5, at 0.75, and by size.
    """
    if data['layout'] == 'coco':
        ann_file = Path(data['test']['data_root']) / data['test']['ann_file']
        return [{'type': 'mmnetaug.COCOAveragePrecision', 'ann_file': str(ann_file)}]
    whole_pixels = {} if data['layout'] == 'voc' else {'use_legacy_coordinate': False}
    return [{'type': 'mmnetaug.VOCAveragePrecision', **whole_pixels}]


def arch_options(config: Config, arch: str, pretrained: bool = True) -> Overrides:
    """``--arch`` of detection: another backbone. It starts from what the same pretraining makes of that network, where
    the config starts from an export of ``mmnetaug pretrain``, unless not ``pretrained`` (``--pretrained`` says)."""
    options: Overrides = {'model.backbone.arch': get_arch(arch).name}
    init = config.model.backbone.get('init_cfg') or {}
    made = PRETRAINED.fullmatch(init.get('checkpoint', ''))
    if made and pretrained:
        options['model.backbone.init_cfg.checkpoint'] = pretrained_export(made[1], arch)
    return options


def freeze_options(config: Config, stages: int) -> Overrides:
    """``--freeze``: neither train the stem of the backbone nor its first ``stages`` stages (mmdet's ``frozen_stages``).

    Raises:
        InputError: no such number, or a backbone that starts from random weights.
    """
    stages = check_whole('freeze', stages, 0)
    if not config.model.backbone.get('init_cfg'):
        raise InputError(
            f'--freeze {stages} would keep random weights as they are: leave it out, or say what the backbone starts '
            'from (--pretrained imagenet, or a path)'
        )
    return {'model.backbone.frozen_stages': stages}


def padding_options(config: Config, padding: str) -> Overrides:
    """``--padding`` of any training: how the network's convolutions of stride 2 pad, 'symmetric' or 'tf'."""
    return {'model.backbone.padding' if 'backbone' in config.model else 'model.padding': padding}


def gray_options(config: Config) -> Overrides:
    """``--gray`` of any training: images of one channel (:class:`~mmnetaug.datasets.transforms.Grayscale`)."""
    place = 'model.backbone' if 'backbone' in config.model else 'model'
    options: Overrides = {f'{place}.in_channels': 1}
    mean, std = (list(config.model.data_preprocessor.get(name) or []) for name in ('mean', 'std'))
    alike = {'mean': mean[:1], 'std': std[:1]} if len(set(mean)) == 1 == len(set(std)) else {}  # of every colour
    options.update({f'model.data_preprocessor.{name}': value for name, value in {**GRAY, **alike}.items()})
    return {**options, **before_packing(config, 'mmnetaug.Grayscale')}


def pretrained_options(config: Config, pretrained: str, arch: str | None) -> Overrides:
    """``--pretrained``: what the backbone starts from. Images are normalised as its weights were trained.

    Args:
        config: complete.
        pretrained: 'imagenet' for public ImageNet weights, which are fetched; 'netaug' or 'baseline' for what
            ``mmnetaug pretrain`` makes of that config for ``arch``; a path; or 'none' for random weights.
        arch: the architecture; None of a backbone that is not ours.

    Raises:
        InputError: weights that cannot be fetched or read, or that are not known for this backbone.
    """
    if pretrained in ('none', 'None'):
        return {'model.backbone.init_cfg': None}
    path = pretrained
    if arch is None and pretrained in ('imagenet', 'netaug', 'baseline'):
        raise InputError(
            f'--pretrained {pretrained} is for our backbones (mmnetaug.TinyNet), and this one is '
            f'{config.model.backbone.type}: expected a path, or none'
        )
    if pretrained == 'imagenet':
        path = str(fetch(imagenet_address(arch, max(width_height(image_size(config))))))
    elif pretrained in ('netaug', 'baseline'):
        path = pretrained_export(pretrained, arch)
    init = {'type': 'Pretrained', 'checkpoint': path}
    # where it is there already it is replaced as a whole
    replaces = {'_delete_': True} if 'init_cfg' in config.model.backbone else {}
    options: Overrides = {'model.backbone.init_cfg': {**init, **replaces}}
    if Path(path).is_file():
        channels = config.model.backbone.get('in_channels', 3)
        for name, value in trained_normalisation(read_checkpoint(path), channels).items():
            options[f'model.data_preprocessor.{name}'] = value
    return options


def pretrained_export(kind: str, arch: str) -> str:
    """Where the export of a pretraining config lies.

    Raises:
        InputError: no such config for this architecture.
    """
    if arch not in PRETRAIN_CONFIGS:
        raise InputError(
            f'no pretraining is known here for {arch}: expected one of {", ".join(PRETRAIN_CONFIGS)}, {OR_ELSE}'
        )
    return f'work_dirs/{kind}_{PRETRAIN_CONFIGS[arch]}/export.pth'


def check_pretrained(config: Config) -> None:
    """Raise :class:`InputError` where the checkpoint of the backbone is not there, with what makes it.

    One at an address (``torchvision://resnet50``), which MMEngine takes for backbones that are not ours, is fetched.
    """
    backbone = config.model.backbone
    path = (backbone.get('init_cfg') or {}).get('checkpoint')
    if path is None or Path(path).is_file():
        return
    if '://' in path and backbone.type.rpartition('.')[2] != 'TinyNet':
        try:
            CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
        except Exception as error:  # of the network, of the file that came, or of a package that knows addresses
            raise InputError(
                f'{path}, which the backbone starts from, cannot be fetched ({type(error).__name__}: {error}): check '
                'the address and the network, or give --pretrained PATH or none'
            ) from error
        return
    made = PRETRAINED.fullmatch(path)
    if made and f'{made[1]}_{made[2]}' in config_names('pretrain'):
        raise InputError(
            f'no pretrained checkpoint at {path}: make it with\n'
            f'    mmnetaug pretrain {made[1]}_{made[2]} --data-root FOLDER\n{OR_ELSE}'
        )
    raise InputError(f'no pretrained checkpoint at {path}: check the path, {OR_ELSE}')


def detection_mixup_options(config: Config, mixup: bool) -> Overrides:
    """``--mixup`` and ``--no-mixup``: with or without the hook of ``configs/_base_/detection_mixup.py``."""
    (hook,) = Config.fromfile(str(CONFIGS / '_base_' / 'detection_mixup.py')).custom_hooks
    return hook_options(config, hook.to_dict()) if mixup else hook_options(config, without=[hook.type])
