"""A table and curves of a run, as far as it is."""

import csv
import io
import os
import time
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.records import numbers, write_text
from mmnetaug.registry import HOOKS
from mmnetaug.visualization.plots import plot_run

TABLE, CURVES = 'results.csv', 'curves.png'


@HOOKS.register_module()
class ResultsHook(Hook):
    """Write ``results.csv``, a row for each validation, and ``curves.png`` into the work directory.

    A row has the ``epoch``; ``seconds`` of training up to there, without what an interrupted run did in vain; ``lr``,
    the last learning rate of the first group of weights; the mean of each loss over the epoch; and all numbers that the
    validation measured. A resumed run goes on in the same table, or in a new one where that is damaged; of an epoch
    that it enters in the middle, losses are means over the steps from there; of one whose interrupted validation it
    makes up for, rate and losses are not known.

    ``before`` is how many seconds a resumed run had trained before, 0.0 where its table does not say.

    MMEngine copies all that it has measured in each step: it keeps that of an epoch, or of the longest window of its
    log.
    """

    priority = 'LOWEST'  # after what other hooks add to the measures

    def before_train(self, runner: Runner) -> None:
        self.rows, self.before, self.start = [], 0.0, time.time()
        path = Path(runner.work_dir) / TABLE
        if not (runner.iter and path.is_file()):
            return
        try:
            with open(path, encoding='utf-8', newline='') as file:
                rows = [row for row in csv.DictReader(file) if (row.get('epoch') or '').isdigit()]
            rows = [row for row in rows if int(row['epoch']) <= runner.epoch]
            self.before = float(rows[-1].get('seconds') or 0) if rows else 0.0
            self.rows = rows
        except (ValueError, csv.Error) as error:
            aside = path.with_name(f'{TABLE}.damaged')
            if is_main_process():
                os.replace(path, aside)
            runner.logger.warning(f'{path} is damaged ({error}): a new table begins, and the old one is {aside.name}')

    def before_train_epoch(self, runner: Runner) -> None:
        log = runner.log_processor
        windows = [log.window_size, *(rule.get('window_size', 0) for rule in log.custom_cfg)]
        if 'global' not in windows:
            wanted = max(1000, len(runner.train_dataloader), *(size for size in windows if isinstance(size, int)))
            for history in runner.message_hub.log_scalars.values():
                history.max_length = wanted

    @property
    def epochs(self) -> set[int]:
        """After which a validation is in the table."""
        return {int(row['epoch']) for row in self.rows}

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not is_main_process() or not runner.iter:
            return
        scalars, steps = runner.message_hub.log_scalars, len(runner.train_dataloader)
        losses = {
            name.removeprefix('train/'): value.mean(steps)
            for name, value in scalars.items()
            if name.startswith('train/') and 'loss' in name
        }
        row = {'epoch': runner.epoch, 'seconds': round(self.before + time.time() - self.start, 1)}
        if 'train/lr' in scalars:
            row['lr'] = scalars['train/lr'].current()
        row = {**row, **losses, **numbers(metrics)}
        self.rows = [old for old in self.rows if int(old['epoch']) != runner.epoch] + [
            {name: f'{value:.6g}' if isinstance(value, float) else str(value) for name, value in row.items()}
        ]
        text = io.StringIO()
        names = list(dict.fromkeys(name for old in self.rows for name in old))
        table = csv.DictWriter(text, names, lineterminator='\n')
        table.writeheader()
        table.writerows(self.rows)
        write_text(Path(runner.work_dir) / TABLE, text.getvalue())

    def after_train(self, runner: Runner) -> None:
        if is_main_process() and self.rows:
            try:
                plot_run(self.rows, Path(runner.work_dir) / CURVES)
            except Exception as error:  # a picture ends no training
                runner.logger.warning(f'{CURVES} could not be drawn: {error}')
