"""Stopping on request."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.hooks.checkpoint_hook import CheckpointHook
from mmnetaug.errors import Stopped
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class StopHook(Hook):
    """On SIGTERM, SIGINT, or SIGHUP of a terminal that is closed, save after the current iteration, or after the
    validation of an epoch not saved before, and end; a second SIGINT ends at once.

    For one process; several would have to agree on the iteration.
    """

    priority = 'LOWEST'  # after everything that belongs to an iteration

    def __init__(self) -> None:
        self.asked: int | None = None
        self.previous: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        if get_world_size() == 1 and threading.current_thread() is threading.main_thread():
            self.process = os.getpid()
            heeded = [signal.SIGTERM, signal.SIGINT]
            hang_up = getattr(signal, 'SIGHUP', None)  # which Windows does not have, and nohup has ignored
            if hang_up and signal.getsignal(hang_up) is not signal.SIG_IGN:
                heeded.append(hang_up)
            heeded = [number for number in heeded if signal.getsignal(number) is not None]  # of a host in C
            self.previous = {number: signal.signal(number, self._ask) for number in heeded}

    def _ask(self, number: int, _: Any) -> None:
        if os.getpid() != self.process:  # a process that was forked while this one trained
            if number != signal.SIGTERM:  # a terminal tells all its processes, and this one ends them
                return
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self.asked == number == signal.SIGINT:
            self.restore()
            raise KeyboardInterrupt
        self.asked = number

    def restore(self) -> None:
        """Give the signals back; to be called where training ends by an exception, too."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        if self.asked and batch_idx + 1 < len(runner.train_dataloader):  # else after the epoch
            for hook in self._checkpoint_hooks(runner):
                hook.save_between(runner)
            self._stop(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        if self.asked:
            for hook in self._checkpoint_hooks(runner):
                hook.save_epoch(runner, runner.epoch + 1)
            self._stop(runner)

    @staticmethod
    def _checkpoint_hooks(runner: Runner) -> list[CheckpointHook]:
        found = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        if not found:  # another one, which saves at its own times alone
            found = [CheckpointHook()]
            found[0].out_dir = runner.work_dir
        return found

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        note = Path(runner.work_dir) / 'last_checkpoint'
        if self.asked and note.is_file() and Path(note.read_text(encoding='utf-8')).stem == f'epoch_{runner.epoch}':
            self._stop(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if self.asked:  # and the epoch was not saved before, as weights may be others while they are validated
            for hook in self._checkpoint_hooks(runner):
                hook.save_epoch(runner, runner.epoch)
            self._stop(runner)

    def after_train(self, runner: Runner) -> None:
        self.restore()

    def _stop(self, runner: Runner) -> None:
        self.restore()
        epoch = min(runner.epoch + 1, runner.max_epochs)
        raise Stopped(self.asked, f'{runner.work_dir}: stopped in epoch {epoch} of {runner.max_epochs}')
