"""Pictures of results. Readable in black and white: series differ in marker and line, not in colour alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLORS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9']
MARKERS = ['o', 's', '^', 'D', 'v', 'P']
LINES = ['-', '--', '-.', ':', (0, (3, 1, 1, 1)), (0, (5, 1))]


def style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the series with this number."""
    return {
        'color': COLORS[index % len(COLORS)],
        'marker': MARKERS[index % len(MARKERS)],
        'linestyle': LINES[index % len(LINES)],
    }


def _save(figure: plt.Figure, path: Union[str, Path]) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches='tight')
    plt.close(figure)
    return path


def plot_ap_against_macs(rows: Sequence[dict[str, Any]], path: Union[str, Path], measure: str = 'AP50') -> Path:
    """Detection quality against cost, one point a detector.

    Args:
        rows: each with ``name``, ``macs`` and ``measure``, a fraction. Rows with the same ``series`` are joined by a
            line; without it each is a series of its own.
        path: the picture, PNG or SVG by its suffix.
        measure: which key of the rows to draw.
    """
    figure, axes = plt.subplots(figsize=(6, 4))
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(row.get('series', row['name']), []).append((row['macs'] / 1e6, 100 * row[measure]))
    for index, (name, points) in enumerate(series.items()):
        axes.plot(*zip(*sorted(points)), label=name, markersize=8, **style(index))
    axes.set_xlabel('MACs of the detector (million)')
    axes.set_ylabel(f'{measure} (%)')
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    axes.legend(fontsize='small')
    return _save(figure, path)


def read_history(work_dir: Union[str, Path], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of a quantity that MMEngine logged in a run, resumed parts included.

    Args:
        work_dir: of the run.
        key: name in the log: ``top1`` (at evaluations) or ``loss``, ``train_top1`` (mean over an epoch's records).
    """
    values: dict[int, list[float]] = {}
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        records = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
        fresh: dict[int, list[float]] = {}
        for record in records:
            if key in record:
                # An evaluation is logged with the number of finished epochs as its step.
                fresh.setdefault(record.get('epoch', record['step']), []).append(record[key])
        values.update(fresh)
    return [(epoch, float(np.mean(values[epoch]))) for epoch in sorted(values)]


def plot_curves(
    runs: dict[str, Sequence[Sequence[tuple[int, float]]]], path: Union[str, Path], ylabel: str, title: str = ''
) -> Path:
    """Learning curves: the mean over seeds and, as a band, their range.

    Args:
        runs: series name -> for each seed (epoch, value) pairs, as :func:`read_history` gives.
        path: the picture, PNG or SVG by its suffix.
        ylabel: what the values are, with the unit.
        title: above the picture.
    """
    figure, axes = plt.subplots(figsize=(6, 4))
    for index, (name, histories) in enumerate(runs.items()):
        epochs = sorted(set.intersection(*(set(dict(history)) for history in histories)))
        values = np.array([[dict(history)[epoch] for epoch in epochs] for history in histories])
        seeds = f' ({len(histories)} seeds)' if len(histories) > 1 else ''
        axes.plot(epochs, values.mean(0), label=name + seeds, markevery=max(1, len(epochs) // 10), **style(index))
        if len(histories) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=COLORS[index % len(COLORS)], alpha=0.15)
    axes.set_xlabel('epoch')
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize='medium')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small')
    return _save(figure, path)
