"""What MMEngine logged of a run."""

import json
from pathlib import Path

import numpy as np


def read_history(work_dir: str | Path, key: str) -> list[tuple[int, float]]:
    """(epoch, value) of a quantity that MMEngine logged in a run, resumed parts included.

    Args:
        work_dir: of the run.
        key: name in the log: ``top1`` (at evaluations) or ``loss``, ``train_top1`` (mean over an epoch's records).
    """
    records: dict[int, tuple[int, float]] = {}  # step -> epoch, value
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        fresh: dict[int, tuple[int, float]] = {}
        for line in log.read_text(encoding='utf-8').splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # cut off when the run was killed
                continue
            if key in record:
                # An evaluation is logged with the number of finished epochs as its step.
                fresh[record['step']] = record.get('epoch', record['step']), record[key]
        if fresh:  # what a run did after the checkpoint that it goes on from is done again
            records = {step: record for step, record in records.items() if step < min(fresh)} | fresh
    values: dict[int, list[float]] = {}
    for epoch, value in records.values():
        values.setdefault(epoch, []).append(value)
    return [(epoch, float(np.mean(values[epoch]))) for epoch in sorted(values)]
