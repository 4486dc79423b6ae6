"""Memory of a process that trains on a CPU."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.cpu import keep_freed_memory, return_freed_memory
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class KeepFreedMemoryHook(Hook):
    """Where there is no GPU, have the process keep freed memory for its next tensors (twice as fast with NetAug) until
    the training ends."""

    keeps = False

    def before_run(self, runner: Runner) -> None:
        if not torch.cuda.is_available():
            keep_freed_memory()
            self.keeps = True

    def after_run(self, runner: Runner) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the memory back; to be called where training ends by an exception, too."""
        if self.keeps:
            return_freed_memory()
            self.keeps = False
