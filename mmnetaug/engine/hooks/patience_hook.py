"""Stopping where nothing gets better."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmnetaug.engine.hooks.checkpoint_hook import CheckpointHook
from mmnetaug.engine.schedule import validates_after
from mmnetaug.errors import InputError, check_whole
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class PatienceHook(Hook):
    """End training when so many validations in a row have brought nothing better than ``best.pth``, which a resumed run
    has too.

    Args:
        validations: how many.

    Raises:
        InputError: no such number, or a run that keeps no ``best.pth`` or counts iterations.
    """

    priority = 'LOWEST'  # after the checkpoint hook has compared

    def __init__(self, validations: int) -> None:
        check_whole('patience', validations, 1)
        self.validations = validations

    def before_train(self, runner: Runner) -> None:
        self.checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if self.checkpoints is None or not self.checkpoints.keep_best:
            raise InputError('--patience compares with best.pth: expected a mmnetaug.CheckpointHook with keep_best')
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(
                '--patience is for configs that count epochs, and this one counts iterations: leave it out'
            )
        self.said = False
        self._compare(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        self._compare(runner)

    def _compare(self, runner: Runner) -> None:
        best, loop = self.checkpoints.best, runner.train_loop
        since = range(best['epoch'] + 1 if best else 1, runner.epoch + 1)
        if sum(validates_after(loop, epoch) for epoch in since) >= self.validations:
            loop.stop_training = True
            if runner.epoch < runner.max_epochs and not self.said:
                self.said = True
                which = f'{best["measure"]} was best in epoch {best["epoch"]}' if best else 'no measure was a number'
                runner.logger.info(
                    f'stops after epoch {runner.epoch} of {runner.max_epochs}: {which}, and {self.validations} '
                    'validations since brought nothing better (--patience)'
                )
