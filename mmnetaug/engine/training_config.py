"""What a config must have to be trained by, checked before anything of it is built or written."""

from typing import Any

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS, HOOKS, LOOPS, Registry
from mmengine.runner import IterBasedTrainLoop

from mmnetaug.engine.hooks.checkpoint_hook import CheckpointHook
from mmnetaug.errors import InputError

# Entries of a config that training needs.
NEEDED = (
    *('train_cfg', 'train_dataloader', 'optim_wrapper'),
    *('val_cfg', 'val_dataloader', 'val_evaluator'),
)


def check_training(config: Config) -> None:
    """Raise :class:`InputError` unless a config trains by epochs, which checkpoints, resuming and results go by, and
    validates."""
    missing = [name for name in NEEDED if config.get(name) is None]
    if missing:
        raise InputError(
            f'the config has no {", ".join(missing)}: expected what to train with, and what to validate with, by which '
            "results and best weights are found; such as val_cfg=dict(type='ValLoop'), val_dataloader=test_dataloader, "
            'val_evaluator=test_evaluator'
        )
    loop, sampler = config.train_cfg, config.train_dataloader.get('sampler') or {}
    by_epoch = loop.get('by_epoch', 'type' in loop)  # MMEngine's way to name a loop without its type
    if not by_epoch or 'max_iters' in loop or _is_kind(LOOPS, loop, IterBasedTrainLoop, config):
        raise InputError(
            f'train_cfg={dict(loop)}: expected a loop that counts epochs, which checkpoints, resuming and results go '
            "by; write train_cfg=dict(type='mmnetaug.ResumableTrainLoop', max_epochs=N, val_interval=1), with "
            "_delete_=True over a base, and sampler=dict(type='mmnetaug.ResumableSampler', shuffle=True) to train with"
        )
    if 'by_epoch' in loop and 'type' in loop:
        raise InputError(f'train_cfg={dict(loop)} has type and by_epoch: expected one of them; leave out by_epoch')
    if _is_kind(DATA_SAMPLERS, sampler, InfiniteSampler, config):
        raise InputError(
            f'train_dataloader.sampler={dict(sampler)} never ends an epoch: expected one that does, such as '
            "sampler=dict(type='mmnetaug.ResumableSampler', shuffle=True)"
        )
    _check_checkpoint_hook(config)


def _check_checkpoint_hook(config: Config) -> None:
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    ours = _is_kind(HOOKS, hook, CheckpointHook, config)
    foreign = [] if ours else [name for name in ('iterations', 'keep_best') if name in hook]
    if foreign:
        raise InputError(
            f'default_hooks.checkpoint is {hook.get("type", "no hook of its own")}, and {" and ".join(foreign)} '
            '(--checkpoint-interval) are of mmnetaug.CheckpointHook: expected that type, or _delete_=True over a base '
            'and neither of the two'
        )
    for name, usual in (('out_dir', None), ('by_epoch', True)):
        if ours and hook.get(name, usual) != usual:
            raise InputError(
                f'default_hooks.checkpoint.{name} is {hook[name]}: expected checkpoints of epochs in the work '
                'directory; leave it out (--work-dir DIR, and --checkpoint-interval N within epochs)'
            )


def _is_kind(registry: Registry, part: dict[str, Any], kind: type, config: Config) -> bool:
    """Whether a part of a config is of a class, under whatever name; not where its type is not known."""
    found = part.get('type')
    if isinstance(found, str):
        with registry.switch_scope_and_registry(config.get('default_scope') or 'mmengine') as scoped:
            found = scoped.get(found)
    return isinstance(found, type) and issubclass(found, kind)
