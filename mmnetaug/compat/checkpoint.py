"""Checkpoints of MMEngine as plain data, saved and loaded, and files of safetensors.

MMEngine keeps the history of logged values in its checkpoints, in numpy arrays, which ``torch.load`` rightly refuses
(https://github.com/open-mmlab/mmengine/issues/1655): a pickle may build arrays over any memory. Nothing needs the
history to go on, so it stays out. And when MMEngine resumes, it runs a config that it finds in the checkpoint's meta as
Python.

Delete when MMEngine's checkpoints load with ``weights_only=True`` and it executes nothing of them; and
:func:`know_average_precision` when its ``save_best`` knows AP beside mAP.
"""

import re
from functools import wraps
from types import ModuleType
from typing import Any

AP = re.compile('(^|/)AP')
PLAIN = (str, int, float, bool, type(None))  # not their subclasses, such as numpy's numbers


def keep_checkpoints_plain(runner: ModuleType) -> None:
    """Leave the history and all that is no plain data out of what is saved, and a config out of what is loaded, by
    the module ``mmengine.runner.runner``."""
    from mmengine.logging import MessageHub

    from mmnetaug.records import as_plain

    Runner = runner.Runner
    state_dict, load_checkpoint = MessageHub.state_dict, Runner.load_checkpoint

    @wraps(state_dict)
    def plain_state_dict(self: MessageHub) -> dict[str, Any]:
        state = state_dict(self)
        info = as_plain(state['runtime_info'])
        plain = {key: value for key, value in info.items() if type(value) in PLAIN}
        return {**state, 'log_scalars': {}, 'runtime_info': plain}

    @wraps(load_checkpoint)
    def load_without_config(self: Runner, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint = load_checkpoint(self, *args, **kwargs)
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    MessageHub.state_dict, Runner.load_checkpoint = plain_state_dict, load_without_config


def know_average_precision(checkpoint_hook: ModuleType) -> None:
    """Have ``save_best`` take the highest AP, whose name ended a run after its first validation, in the hook of the
    module ``mmengine.hooks.checkpoint_hook``."""
    hook = checkpoint_hook.CheckpointHook
    init_rule = hook._init_rule

    @wraps(init_rule)
    def with_ap(self: Any, rules: list[str | None], key_indicators: list[str]) -> None:
        given = zip(rules * len(key_indicators) if len(rules) == 1 else rules, key_indicators)
        init_rule(self, [rule or ('greater' if AP.search(key) else None) for rule, key in given], key_indicators)

    hook._init_rule = with_ap


def read_safetensors(checkpoint: ModuleType) -> None:
    """Have MMEngine read our safetensors: ``load_from``, and the weights of MMDetection's inferencers; by the module
    ``mmengine.runner.checkpoint``."""

    @checkpoint.CheckpointLoader.register_scheme(prefixes=r'.*\.(?i:safetensors)$')
    def load_safetensors(filename: str, map_location: Any = None) -> dict[str, Any]:
        from mmnetaug.checkpoint import read_checkpoint

        return read_checkpoint(filename)
