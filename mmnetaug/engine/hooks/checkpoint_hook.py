"""Checkpoints that no kill loses."""

import math
import os
from pathlib import Path, PureWindowsPath
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import Runner

from mmnetaug.checkpoint import not_finite, read_checkpoint
from mmnetaug.errors import InputError
from mmnetaug.records import as_plain, numbers, write_text
from mmnetaug.registry import HOOKS

BEST = 'best.pth'
WRITTEN = 'written_checkpoints'  # in MMEngine's message hub: a line each, those that the run has not deleted again


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """MMEngine's, but a new checkpoint is complete under its own name before an older one goes, whenever it is stopped.

    Weights that are no numbers are not saved.

    Args:
        iterations: also save in the middle of an epoch, every so many iterations; 0 for not.
        keep_best: keep ``best.pth``, the weights with the highest value of the first measure of validation, or of the
            first of ``save_best``; the lowest where ``rule`` says 'less', also without ``save_best``. NaN is worse than
            any number.
        options: of MMEngine's hook.

    Raises:
        InputError: another ``rule``, or after a validation that has not measured what ``save_best`` names.
    """

    def __init__(self, iterations: int = 0, keep_best: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.iterations, self.keep_best = iterations, keep_best
        self.rule = options.get('rule') or 'greater'  # that of the first measure, where save_best is not given
        if self.save_best is None and self.rule not in self.rule_map:
            raise InputError(f"rule of default_hooks.checkpoint is {self.rule}: expected 'greater' or 'less'")
        self.best: dict | None = None  # measure, value and epoch of the best validation

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        if self.iterations and not hasattr(runner.train_dataloader.sampler, 'skip'):
            runner.logger.warning(
                'Nothing is saved within epochs, which begin anew with this sampler: expected mmnetaug.ResumableSampler'
            )
        self.best = None
        if not runner.iter:
            return
        # a run that is resumed, perhaps from somewhere else, or from an earlier release
        note = Path(runner.work_dir) / 'last_checkpoint'
        last = PureWindowsPath(note.read_text(encoding='utf-8').strip()).name if note.is_file() else ''
        runner.message_hub.update_info(WRITTEN, runner.message_hub.get_info(WRITTEN, last) if last else '')
        path = Path(runner.work_dir) / BEST
        if self.keep_best and path.is_file():
            self.best = _best(path)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        at_end = (runner.iter + 1) % len(runner.train_dataloader) == 0  # where the epoch's own follows
        if self.iterations and not at_end and self.every_n_train_iters(runner, self.iterations):
            self.save_between(runner)

    def save_between(self, runner: Runner) -> None:
        """Save after the current iteration, in the middle of an epoch, if it can be entered there again."""
        if not hasattr(runner.train_dataloader.sampler, 'skip'):
            return  # the epoch will begin anew, and the schedule would be ahead of it
        done = runner.iter + 1
        self._write(runner, f'iter_{done}.pth', {'epoch': runner.epoch, 'iter': done})

    def save_epoch(self, runner: Runner, epoch: int) -> None:
        """Save after this epoch, unless that was done."""
        name = self.filename_tmpl.format(epoch)
        if Path(self.last_ckpt or '').name != name:
            self._write(runner, name, {'epoch': epoch, 'iter': runner.iter})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._write(runner, self.filename_tmpl.format(step), meta)

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        # Known to a resumed run: of all files in the folder only those that the run has written are its to delete.
        own = [old for old in runner.message_hub.get_info(WRITTEN, '').splitlines() if old != name] + [name]
        runner.message_hub.update_info(WRITTEN, '\n'.join(own))
        self._save(runner, name, meta, optimizer=True)
        old = own[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        runner.message_hub.update_info(WRITTEN, '\n'.join(own[len(old) :]))
        if not is_main_process():
            return
        folder = Path(self.out_dir)
        self.last_ckpt = str(folder / name)
        write_text(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt)
        for each in old:
            (folder / each).unlink(missing_ok=True)

    def _save(self, runner: Runner, name: str, meta: dict, optimizer: bool) -> None:
        if bad := not_finite(runner.model.state_dict()):
            raise gone_astray(runner, f'{len(bad)} tensors of the network are not finite, first {bad[0]},')
        path = Path(self.out_dir) / f'{name}.partial'
        options = {
            'save_optimizer': optimizer and self.save_optimizer,
            'save_param_scheduler': optimizer and self.save_param_scheduler,
            'by_epoch': self.by_epoch,
        }
        try:
            runner.save_checkpoint(self.out_dir, path.name, meta=meta, **options)
            if is_main_process():
                with open(path, 'r+b') as file:  # as Windows asks for
                    os.fsync(file.fileno())
                os.replace(path, path.with_name(name))
        except BaseException:  # a disk that is full, say
            if is_main_process():
                path.unlink(missing_ok=True)
            raise

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'param_schedulers' in checkpoint:  # of which one may have kept what a metric gave
            checkpoint['param_schedulers'] = as_plain(checkpoint['param_schedulers'])

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError:  # a name that MMEngine does not know
            if self.save_best != ['auto']:
                raise
            super()._init_rule(['greater'], key_indicators)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any]) -> None:
        metrics = numbers(metrics)
        unknown = set(self.save_best or []) - {'auto', *metrics}
        if unknown and metrics:
            raise InputError(
                f'default_hooks.checkpoint.save_best is {", ".join(self.save_best)}, and this validation measured '
                f"{', '.join(metrics)}: expected one of these, or 'auto'"
            )
        super().after_val_epoch(runner, metrics)
        if not (self.keep_best and metrics and runner.iter):
            return
        measure, rule = next(iter(metrics)), self.rule
        if self.save_best:
            measure, rule = self.key_indicators[0], self.rules[0]
        known = self.best is not None and self.best['measure'] == measure and not math.isnan(self.best['value'])
        if self.rule_map[rule](metrics[measure], self.best['value'] if known else self.init_value_map[rule]):
            self.best = {'measure': measure, 'value': metrics[measure], 'epoch': runner.epoch}
            self._save(runner, BEST, {'epoch': runner.epoch, 'iter': runner.iter, 'best': self.best}, optimizer=False)


def _best(path: Path) -> dict[str, Any]:
    """Measure, value and epoch of the validation that ``best.pth`` is of, or :class:`InputError`."""
    try:
        best = read_checkpoint(path).get('meta', {}).get('best')
    except InputError:
        best = None
    if not isinstance(best, dict) or not {'measure', 'value', 'epoch'} <= best.keys():
        raise InputError(
            f'{path} is damaged, or not of this run: expected the weights of its best validation. Delete it, and '
            '--resume keeps those of the next one'
        )
    return best


def gone_astray(runner: Runner, what: str) -> InputError:
    """The error for a run that has come to values that are no numbers: ``what``, where, and what to try."""
    rate = runner.optim_wrapper.get_lr()['lr'][0]
    note = Path(runner.work_dir) / 'last_checkpoint'
    last = note.read_text(encoding='utf-8') if note.is_file() else 'none yet'
    return InputError(
        f'{what} at iteration {runner.iter + 1} (epoch {runner.epoch + 1}), with a learning rate of {rate:.3g}: try a '
        'smaller one (--lr), gradients clipped (--cfg-options '
        f'optim_wrapper.clip_grad.max_norm=10), or check the data. The last good checkpoint: {last}'
    )
