"""Memory of a process that trains on a CPU."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.cpu import keep_freed_memory
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class KeepFreedMemoryHook(Hook):
    """Where there is no GPU, have the process keep freed memory for its next tensors (twice as fast with NetAug)."""

    def before_run(self, runner: Runner) -> None:
        if not torch.cuda.is_available():
            keep_freed_memory()
