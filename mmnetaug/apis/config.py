"""Config files: read, asked for what they hold, and changed by dotted keys that are there."""

import argparse
import copy
import difflib
import inspect
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine import registry
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.runner import Runner

from mmnetaug.config_files import find_config
from mmnetaug.engine.work_dir import value_at
from mmnetaug.errors import InputError

# What a config may have at its top: what MMEngine's runner takes, what it reads besides, and keys of ours.
TOP = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
TOP |= {'activation_checkpointing', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn'}
TOP |= {'allow_overlap', 'compile', 'export_safetensors'}
# What may have parts and need not be there.
NEW = (
    *('optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg', 'optim_wrapper.paramwise_cfg.custom_keys'),
    'model_wrapper_cfg',
)
LIBRARIES = ('mmdet', 'mmcv', 'mmengine', 'mmnetaug', 'torch')  # which register their parts themselves
# Kind of config -> what tells it.
NEEDED = {'pretrain': ('arch', 'num_classes'), 'det': ('backbone', 'bbox_head')}


def read_config(path: str | Path, kind: str) -> Config:
    """A complete config from its file; one without a test part tests as it validates.

    Args:
        path: of the file, or the name of one of ours, such as 'ssdlite_netaug_voc'.
        kind: what it is for: 'pretrain' or 'det', the folder of its kind in ``configs``.

    Raises:
        InputError: no such file, one that is no config, or one for another kind of model.
    """
    folder = f'configs/{kind}'
    path = find_config(path, kind)
    try:
        config = _with_names(Config.fromfile(str(path)))
    except InputError:
        raise
    except Exception as error:  # a config is Python, and may fail in any way
        said = f'{type(error).__name__}: {error}'
        raise InputError(f'{path} is no config ({said}): expected a file such as those of {folder}') from error
    model = config.get('model') or {}
    if not all(key in model for key in NEEDED[kind]):
        needed = ' and '.join(f'model.{key}' for key in NEEDED[kind])
        raise InputError(
            f'{path} is a config for {model.get("type")}, without {needed}: expected a file of {folder}, or one like '
            'them'
        )
    complete_test_part(config)
    return config


def _with_names(config: Config) -> Config:
    """The same config with each ``type`` as a text, as checkpoints hold it, instead of a class or function (pure Python
    configs), and without the scope that MMEngine notes in what comes from ``'mmdet::...'``.

    Raises:
        InputError: code where it is no ``type``.
    """
    scope, names, modules = config.get('default_scope') or 'mmdet', {}, set()

    def name(kind: Any) -> str:
        if kind not in names:  # its module may have been imported just now
            names.update(_registered(scope))
        if getattr(kind, '__module__', '') == 'mmcv.ops.nms':  # which mmcv knows by their bare names
            return kind.__name__
        if kind not in names:  # such as torch's SyncBatchNorm, of which MMEngine registers its own
            own = [each for each in names if kind in getattr(each, '__bases__', ()) and each.__name__ == kind.__name__]
            return names[own[0]] if own else f'{kind.__module__}.{kind.__qualname__}'
        if kind.__module__.partition('.')[0] not in LIBRARIES:
            modules.add(kind.__module__)
        return names[kind]

    def named(value: Any, place: str) -> Any:
        if isinstance(value, Mapping):
            return {
                key: name(below) if _names_a_type(key) and _is_code(below) else named(below, f'{place}{key}.')
                for key, below in value.items()
                if not (key == '_scope_' and below == scope)
            }
        if isinstance(value, (list, tuple)):
            return type(value)(named(below, f'{place}{index}.') for index, below in enumerate(value))
        if _is_code(value):
            raise InputError(
                f'{config.filename}: {place[:-1]} is {value}, which is code: expected a number, a text or the like, or '
                'dict(type=...)'
            )
        return value

    # without what the file has imported
    given = {key: value for key, value in config._to_lazy_dict().items() if not _is_code(value)}
    values = named(ConfigDict(given), '')
    if names:
        values['default_scope'] = scope
    if modules:  # which the config that a run writes down imports no more by itself
        values['custom_imports'] = {'imports': [*custom_modules(config), *sorted(modules)]}
    return Config(values, config.text, config.filename, config.env_variables)


def custom_modules(config: Config) -> list[str]:
    """The modules that a config imports (``custom_imports``)."""
    given = (config.get('custom_imports') or {}).get('imports') or []
    return [given] if isinstance(given, str) else list(given)


def _names_a_type(key: str) -> bool:
    return key == 'type' or key.endswith('_type')  # resize_type of RandomResize, ema_type of EMAHook


def _is_code(value: Any) -> bool:
    return isinstance(value, (type, LazyObject, LazyAttr)) or inspect.isroutine(value)


def _registered(scope: str) -> dict[Any, str]:
    """Class or function -> the name by which a config with this default scope finds it."""
    names: dict[Any, str] = {}
    for root in vars(registry).values():
        if isinstance(root, registry.Registry):
            own = root.children.get(scope, root)
            for each in (own, root, *root.children.values()):
                for name, kind in each.module_dict.items():
                    found = own.module_dict.get(name, root.module_dict.get(name)) is kind
                    names.setdefault(kind, name if found else f'{each.scope}.{name}')
    return names


def import_custom(modules: Sequence[str]) -> None:
    """Import modules that register parts of a user's own (``--custom-imports``).

    Raises:
        InputError: no such module, or one that fails.
    """
    for name in modules:
        try:
            import_module(name)
        except Exception as error:  # a module is Python, and may fail in any way
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f' in line {frame.lineno} of {frame.filename}' if Path(frame.filename).is_file() else ''
            raise InputError(
                f'--custom-imports {name}: {type(error).__name__}: {error}{place}. Expected a Python module that can '
                'be imported from here (PYTHONPATH=. for one of this folder)'
            ) from error


def parse_cfg_options(options: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE texts as MMEngine's ``DictAction`` understands them.

    Raises:
        InputError: a text without a key or without ``=``.
    """
    for option in options:
        if not option.partition('=')[0] or '=' not in option:
            raise InputError(f'--cfg-options {option}: expected KEY=VALUE, such as train_cfg.max_epochs=10')
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction)
    try:
        return parser.parse_args(['--cfg-options', *options]).cfg_options
    except AssertionError as error:
        raise InputError(f'--cfg-options {" ".join(options)}: expected as many ( and [ as ) and ]') from error


def merge_cfg_options(config: Config, options: Sequence[str]) -> None:
    """Merge KEY=VALUE texts into a config.

    A loader that gets ``num_workers=0`` also gets ``persistent_workers=False``, without which PyTorch refuses it.

    Raises:
        InputError: a text that is none, or a key that is not there (one below something that does not exist, or one
            that looks like a misspelt one), or a value of another kind than it replaces.
    """
    parsed = parse_cfg_options(options)
    for key, value in parsed.items():
        _check_key(config, key, value)
    for key, value in list(parsed.items()):
        if key.endswith('_dataloader.num_workers') and value == 0:
            parsed.setdefault(key.replace('num_workers', 'persistent_workers'), False)
    config.merge_from_dict(parsed)


def _check_key(config: Config, key: str, value: Any) -> None:
    place, path, in_list = config._cfg_dict, [], False
    for part in key.split('.'):
        in_list = isinstance(place, (list, tuple))
        if in_list:
            if not part.isdigit() or int(part) >= len(place):
                last = len(place) - 1
                raise InputError(f'--cfg-options {key}: {".".join(path)} is a list, expected a number from 0 to {last}')
            place = place[int(part)]
        elif isinstance(place, Mapping):
            if part not in place:
                _refuse_unknown(config, key, path, part, place)
                return
            place = place[part]
        else:
            raise InputError(f'--cfg-options {key}: {".".join(path)} is {place!r}, which has nothing below it')
        path.append(part)
    parts = isinstance(place, Mapping) or (isinstance(place, (list, tuple)) and isinstance((*place, 0)[0], Mapping))
    removes = value is None and len(path) > 1 and not in_list
    if parts and not isinstance(value, (Mapping, list, tuple)) and not removes:
        raise InputError(f'--cfg-options {key}={value}: {key} has parts, expected some below it ({key}.NAME=VALUE)')
    if isinstance(place, (list, tuple)) and isinstance(value, str) and not Path(value).is_file():
        raise InputError(f'--cfg-options {key}={value}: expected several, such as {key}={value},')
    if isinstance(place, (bool, int, float)) and isinstance(value, str):
        raise InputError(f'--cfg-options {key}={value}: expected a value such as {place!r}, not text')


def _refuse_unknown(config: Config, key: str, path: list[str], part: str, place: Mapping) -> None:
    """Raise unless ``part`` may be a new key of ``place``: an argument of a part of the config, or of the runner."""
    is_last = len(path) + 1 == len(key.split('.'))
    close = difflib.get_close_matches(part, list(place), n=1, cutoff=0.75)
    below = [name for name in _keys(config._cfg_dict) if name.split('.')[-1] == part][:3]
    allowed = part in TOP if not path else (is_last and not close) or '.'.join([*path, part]) in NEW
    if not allowed:
        nearest = [*(['.'.join([*path, *close])] if close else []), *below] or [
            '.'.join([*path, name]) for name in place
        ]
        missing, known = '.'.join([*path, part]), ' or '.join(nearest[:3])
        raise InputError(f'--cfg-options {key}: the config has no {missing}; did you mean {known}?')


def _keys(place: Any, prefix: str = '') -> list[str]:
    """Dotted names of all values below ``place``."""
    if isinstance(place, Mapping):
        return [name for key, below in place.items() for name in (f'{prefix}{key}', *_keys(below, f'{prefix}{key}.'))]
    if isinstance(place, (list, tuple)):
        return [name for index, below in enumerate(place) for name in _keys(below, f'{prefix}{index}.')]
    return []


def dataset_key(config: Config, loader: str) -> str:
    """Dotted key of the data set that reads files, inside any wrappers such as ``RepeatDataset``."""
    key, dataset = f'{loader}.dataset', config[loader].dataset
    while 'dataset' in dataset:
        key, dataset = f'{key}.dataset', dataset.dataset
    if 'datasets' in dataset:
        raise InputError(
            f'{key} joins several data sets ({dataset.get("type")}), which options do not reach: write one data set '
            'there, such as dict(type="mmnetaug.VOCDetection", ann_file=[...]), which takes several image sets'
        )
    return key


def pipeline_key(config: Config, loader: str) -> str:
    """Dotted key of the pipeline that gives the network its images: of a wrapper with one of its own, such as
    ``MultiImageMixDataset``, that one, and not what reads the files."""
    key, inner = f'{loader}.dataset', dataset_key(config, loader)
    while key != inner and 'pipeline' not in value_at(config, key):
        key = f'{key}.dataset'
    return f'{key}.pipeline'


def loaders(config: Config) -> list[str]:
    """The data loaders that a config has."""
    return [name for name in ('train_dataloader', 'val_dataloader', 'test_dataloader') if config.get(name)]


def before_packing(config: Config, transform: str) -> dict[str, Any]:
    """Pipelines of a config with a transform as the last but one, of those that have none of this type."""
    pipelines = {}
    for loader in loaders(config):
        key = pipeline_key(config, loader)
        *steps, pack = value_at(config, key)
        if not any(step.type == transform for step in steps):
            pipelines[key] = [*steps, {'type': transform}, pack]
    return pipelines


def dataset_config(config: Config, loader: str) -> ConfigDict:
    """The configuration at :func:`dataset_key`."""
    return value_at(config, dataset_key(config, loader))


def complete_test_part(config: Config) -> None:
    """Have a config test on what it validates on where it has no test part of its own."""
    for name in ('dataloader', 'evaluator'):
        if config.get(f'test_{name}') is None and config.get(f'val_{name}') is not None:
            config[f'test_{name}'] = copy.deepcopy(config[f'val_{name}'])
    if config.get('test_cfg') is None and config.get('test_dataloader') is not None:
        config.test_cfg = {'type': 'TestLoop'}
