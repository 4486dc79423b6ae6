"""The folder of a run: what it keeps of how the run was started, and who may be at work there."""

import json
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

from mmengine.config import Config

from mmnetaug.checkpoint import read_checkpoint
from mmnetaug.errors import InputError
from mmnetaug.locks import lock

SCHEDULE = 'schedule.json'  # what a run must keep when it is resumed
# Entries of a config that a resumed run must have as it was started; differences are shown in this order.
KEPT = (
    *('train_cfg', 'model', 'param_scheduler', 'optim_wrapper', 'train_dataloader.batch_size'),
    *('default_hooks.netaug', 'custom_hooks', 'randomness.seed'),
)
IMAGES, PROCESSES = COUNTS = ('images to train on', 'processes')  # and that many
# Beginnings of what runs of earlier releases have not noted.
LATER = ('randomness.seed', 'classes', *COUNTS, 'train_dataloader.dataset')
READING = ('backend_args', 'file_client_args', 'imdecode_backend')  # in pipelines: how files are read, not what of them
# What their configs did not say -> what it was.
UNSAID = {
    'model.alpha': 1.0,
    'model.base_weight': 1.0,
    'default_hooks.netaug.statistics_images': 16000,
    'model.bbox_head.share_conv': True,
    'model.data_preprocessor.batch_augments.0.interval': 10,
}
# Of these, what may change: where a backbone came from, and how often is validated.
FREE = ('model.backbone.init_cfg', 'train_cfg.val_interval')
RESULTS = ('export.pth', 'result.json')  # of a finished run, which another one in its folder would replace


def name_work_dir(config: Config) -> None:
    """Have ``work_dir`` of a config be text, as MMEngine writes and compares it, where it is a path.

    Raises:
        InputError: there is none.
    """
    folder = config.get('work_dir')
    if not folder or not isinstance(folder, (str, os.PathLike)):
        raise InputError(
            f'the config has {f"work_dir={folder!r}" if folder else "no work_dir"}: expected a folder for what a run '
            "writes; set config.work_dir = 'work_dirs/NAME' (--work-dir)"
        )
    config.work_dir = os.fspath(folder)


def check_work_dir(config: Config) -> dict[str, Any]:
    """What a run must keep when it is resumed, checked against a run that the work directory holds already.

    Raises:
        InputError: no work directory, a run that is not to be resumed or has other settings, its results without its
            checkpoints, or notes of it that are damaged.
    """
    name_work_dir(config)
    schedule = {}
    for name in KEPT:
        value = value_at(config, name)
        schedule.update({} if value is None else flat(name, value))
    schedule = {name: value for name, value in schedule.items() if not name.startswith(FREE)}
    dataset = config.train_dataloader.dataset
    parts = flat('train_dataloader.dataset', dataset)
    pixels = {
        name: value for name, value in parts.items() if '.pipeline.' in name and name.split('.')[-1] not in READING
    }
    schedule.update(pixels)  # their sizes and augmentation
    while 'dataset' in dataset:
        dataset = dataset.dataset
    schedule['classes'] = (dataset.get('metainfo') or {}).get('classes')
    schedule = json.loads(json.dumps(schedule, default=str))  # as it will be read: lists for tuples
    work_dir = Path(config.work_dir)
    if (work_dir / 'last_checkpoint').is_file():
        if not config.get('resume'):
            raise InputError(
                f'{work_dir} holds the checkpoints of an earlier run. Continue it with --resume, or give another '
                '--work-dir'
            )
        _check_last(work_dir)
        # MMEngine restores the schedule of the checkpoint and would go on at a constant learning rate.
        before = {**{name: UNSAID[name] for name in UNSAID if name in schedule}, **(started(work_dir) or schedule)}
        later = tuple(part for part in LATER if not any(name.startswith(part) for name in before))
        names = [name for name in {**before, **schedule} if not name.startswith(later)]
        changed = [name for name in names if name not in COUNTS and before.get(name) != schedule.get(name)]
        if changed:
            theirs, ours = (
                ', '.join(f'{name} {textwrap.shorten(str(run.get(name)), 200)}' for name in changed[:5])
                for run in (before, schedule)
            )
            raise other_settings(work_dir, theirs, ours)
    elif results := [name for name in RESULTS if (work_dir / name).is_file()]:
        raise InputError(
            f'{work_dir} holds {", ".join(results)} of an earlier run, which this one would replace, and no '
            'last_checkpoint to go on from: give another --work-dir, or move these files away'
        )
    return schedule


def started(work_dir: Path) -> dict[str, Any]:
    """What the run in a work directory was started with, empty where that is not known."""
    note = work_dir / SCHEDULE
    try:
        content = json.loads(note.read_text(encoding='utf-8')) if note.is_file() else {}
        if not isinstance(content, dict):
            raise ValueError(f'a {type(content).__name__} and no object')
        return content
    except ValueError as error:
        raise InputError(f'{note} is damaged ({error}): delete it to resume with these settings') from error


def other_settings(work_dir: Path, theirs: str, ours: str) -> InputError:
    """The error for a run that is resumed with ``ours`` and was started with ``theirs``."""
    return InputError(
        f'{work_dir} was started with {theirs}, not {ours}: resume it with its own settings (what an earlier release '
        'had: --cfg-options KEY=VALUE), or give another --work-dir'
    )


def _check_last(work_dir: Path) -> None:
    """Have ``last_checkpoint`` name a checkpoint to resume, also where the work directory has moved."""
    note = work_dir / 'last_checkpoint'
    try:
        latest = Path(note.read_text(encoding='utf-8').strip())
    except ValueError as error:
        raise InputError(f'{note} is damaged ({error}): write the path of a checkpoint into it') from error
    moved = work_dir / PureWindowsPath(latest).name  # which knows the separators of all systems
    if not latest.is_file() or moved.is_file():
        latest = moved
    wrong = None if latest.is_file() else 'is not there'
    if not wrong:
        try:
            content = read_checkpoint(latest)
        except FileNotFoundError as error:  # replaced by a newer one just now
            raise _at_work(work_dir) from error
        if 'message_hub' not in content or not content.keys() & {'optimizer', 'param_schedulers'}:
            wrong = 'holds weights alone'
    if wrong:
        there = ', '.join(sorted(path.name for path in work_dir.glob('*_*.pth'))) or 'none'
        raise InputError(
            f'{note} names {latest.name or "nothing"}, which {wrong} (there: {there}): write the path of a checkpoint '
            'of training, epoch_N.pth or iter_N.pth, into it, or give another --work-dir'
        )
    if note.read_text(encoding='utf-8').strip() != str(latest):
        partial = note.with_name(f'{note.name}.{os.getpid()}')  # each process of a run may be here
        partial.write_text(str(latest), encoding='utf-8')
        os.replace(partial, note)


def _at_work(work_dir: Path) -> InputError:
    return InputError(f'another run is at work in {work_dir}: wait for it, stop it, or give another --work-dir')


@contextmanager
def locked(work_dir: Path) -> Iterator[None]:
    """Keep other runs out of a work directory. The lock ends with the process, however that ends."""
    with open(work_dir / '.lock', 'a', encoding='utf-8') as file:
        if not lock(file):
            raise _at_work(work_dir)
        yield


def value_at(config: Config, name: str) -> Any:
    """The value at a dotted key, None where there is none."""
    value = config
    for key in name.split('.'):
        value = (value or {}).get(key)
    return value


def flat(name: str, value: Any) -> dict[str, Any]:
    """Dotted name -> value of all that is no dict and no list of dicts below ``value``, which itself is ``name``."""
    if isinstance(value, dict):
        return {key: leaf for part, below in value.items() for key, leaf in flat(f'{name}.{part}', below).items()}
    if isinstance(value, (list, tuple)) and any(isinstance(below, dict) for below in value):
        return flat(name, dict(enumerate(value)))
    return {name: value}
