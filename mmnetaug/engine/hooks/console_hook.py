"""Progress and results of a run on the console."""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmnetaug.engine.console import duration, has_progress_bar
from mmnetaug.engine.hooks.checkpoint_hook import CheckpointHook
from mmnetaug.engine.schedule import validates_after
from mmnetaug.progress import Bar
from mmnetaug.records import numbers, of_one_class
from mmnetaug.registry import HOOKS


class TimeLeft:
    """How long the rest of a training takes, by its last epoch and its validations.

    Args:
        steps_per_epoch: the step time is the mean over as many steps, what is saved between them included.
        validation_steps: how many training steps a validation takes for as long as none was seen.
        clock: seconds.
    """

    def __init__(
        self, steps_per_epoch: int, validation_steps: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock, self.validation_steps = clock, validation_steps
        self.times = deque(maxlen=steps_per_epoch + 1)  # when steps were done, without validations
        self.validation: float | None = None
        self.validating = self.began = 0.0

    def step(self) -> None:
        """A step is done. The first one, before which processes start, is where the time begins."""
        self.times.append(self.clock() - self.validating)

    def begin_validation(self) -> None:
        self.began = self.clock()

    def end_validation(self) -> None:
        self.validation = self.clock() - self.began
        self.validating += self.validation

    def seconds(self, steps: int, validations: int) -> float | None:
        """What ``steps`` and ``validations`` take; None before the second step."""
        if len(self.times) < 2:
            return None
        step = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        validation = step * self.validation_steps if self.validation is None else self.validation
        return steps * step + validations * validation


@HOOKS.register_module()
class ConsoleHook(Hook):
    """A progress bar with the time left for all of a training, and a line for each validation.

    Where the output is no terminal, or a narrow one, a line now and then takes the place of the bar. With this hook in
    a config, the console shows no more of MMEngine's log than :class:`~mmnetaug.engine.console.ConsoleHandler` lets
    pass; the log file keeps all.

    Args:
        interval: seconds between two lines where there is no bar; the first one comes after a third of it.
    """

    priority = 'LOWEST'  # when all others have said what they found

    def __init__(self, interval: float = 60) -> None:
        self.interval = interval
        self.bar: Bar | None = None
        self.left: TimeLeft | None = None

    def before_train(self, runner: Runner) -> None:
        loader, validation = runner.train_dataloader, runner.val_loop
        # A step computes three times what a forward pass does.
        forward = len(validation.dataloader.dataset) / len(loader.dataset) / 3 if validation is not None else 0
        self.left = TimeLeft(len(loader), forward * len(loader))
        done = f', of which {runner.iter} are done' if runner.iter else ''
        runner.logger.info(
            f'{runner.max_epochs} epochs of {len(loader)} steps{done}. The log: {runner.logger.log_file}'
        )
        self._open(runner.max_iters, runner.iter)
        self.next_line = time.monotonic() + self.interval / 3

    def _open(self, total: int, done: int = 0) -> None:
        if is_main_process() and has_progress_bar():
            shape = '{desc} |{bar}| {percentage:3.0f}%'
            self.bar = Bar(
                total=total, initial=done, bar_format=shape, dynamic_ncols=True, leave=False, file=sys.stdout
            )

    def restore(self) -> None:
        """Remove the bar; to be called where training ends by an exception, too."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.left.step()
        if self.bar is not None:
            self.bar.set_description_str(self._status(runner, runner.iter + 1, batch_idx), refresh=False)
            self.bar.update()
        elif time.monotonic() >= self.next_line and is_main_process():
            runner.logger.info(self._status(runner, runner.iter + 1, batch_idx))
            self.next_line = time.monotonic() + self.interval

    def _status(self, runner: Runner, done: int, batch_idx: int) -> str:
        step = '' if self.bar is not None else f', step {batch_idx + 1} of {len(runner.train_dataloader)}'
        loss = runner.message_hub.get_scalar('train/loss').mean(20)
        return f'epoch {runner.epoch + 1} of {runner.max_epochs}{step}: loss {loss:.3f}{self._left(runner, done)}'

    def _left(self, runner: Runner, done: int) -> str:
        seconds = self.left.seconds(runner.max_iters - done, _validations_after(runner, done))
        return '' if seconds is None or done >= runner.max_iters else f', {duration(seconds)} left'

    def before_val(self, runner: Runner) -> None:
        if self.left is not None:
            self.left.begin_validation()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.bar is not None:
            self.bar.set_description_str(f'validates, batch {batch_idx + 1} of {len(runner.val_dataloader)}')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        left = ''
        if self.left is not None:
            self.left.end_validation()
            left = self._left(runner, runner.iter)
        shown = ', '.join(f'{name} {value:.4g}' for name, value in headline(metrics).items())
        bests = [hook.best or {} for hook in runner.hooks if isinstance(hook, CheckpointHook) and hook.keep_best]
        best = ' (best so far)' if any(best.get('epoch') == runner.epoch for best in bests) else ''
        runner.logger.info(f'epoch {runner.epoch} of {runner.max_epochs}: {shown}{best}{left}')

    def after_train(self, runner: Runner) -> None:
        self.restore()

    def before_test(self, runner: Runner) -> None:
        self._open(len(runner.test_dataloader))

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.bar is not None:
            self.bar.set_description_str('tests', refresh=False)
            self.bar.update()

    def after_test(self, runner: Runner) -> None:
        self.restore()


def headline(metrics: dict[str, Any] | None) -> dict[str, float]:
    """The first measures of a validation, at most three, without those of single classes."""
    shown = [(name, value) for name, value in numbers(metrics).items() if not of_one_class(name)]
    return {name.removeprefix('coco/'): value for name, value in shown[:3]}


def _validations_after(runner: Runner, done: int) -> int:
    """How many validations come after so many steps."""
    loop, total = runner.train_loop, runner.max_iters
    if runner.val_loop is None:
        return 0
    if not isinstance(loop, EpochBasedTrainLoop):
        return (total - done) // loop.val_interval
    epochs = range(done // len(runner.train_dataloader) + 1, runner.max_epochs + 1)
    return sum(validates_after(loop, epoch) for epoch in epochs)
