"""Pictures of one run, or of several without seeds: curves, precision and recall, confusion, AP against a cost."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.logging import print_log

from mmnetaug.errors import InputError
from mmnetaug.records import of_one_class
from mmnetaug.visualization.fonts import choose_font, literal
from mmnetaug.visualization.style import COLORS, common_epochs, mark_every, save_figure, style


def plot_ap_against_macs(
    rows: Sequence[dict[str, Any]],
    path: str | Path,
    measure: str = 'AP50',
    cost: str = 'macs',
    label: str = 'MACs of the detector (million)',
    unit: float = 1e6,
) -> Path:
    """Detection quality against cost, one point a detector.

    Args:
        rows: each with ``name``, ``cost`` and ``measure``, a fraction.
        path: the picture, PNG or SVG by its suffix.
        measure: which key of the rows to draw.
        cost: against which other.
        label: of its axis.
        unit: what it is divided by.
    """
    choose_font([row['name'] for row in rows])
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for index, row in enumerate(rows):
        axes.plot(row[cost] / unit, 100 * row[measure], label=row['name'], markersize=8, **style(index))
    axes.set_xlabel(label)
    axes.set_ylabel(f'{measure} (%)')
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    _pad_single(axes)
    low, high = axes.get_ylim()
    widen = max(0, 1 - (high - low) / 2)  # to two points at least: hundredths must not look large
    axes.set_ylim(low - widen, high + widen)
    axes.legend(fontsize='small')
    return save_figure(figure, path)


def plot_curves(runs: dict[str, Sequence[Sequence[tuple[int, float]]]], path: str | Path, ylabel: str) -> Path:
    """Learning curves: the mean over seeds and, as a band, their range.

    Args:
        runs: series name -> for each seed (epoch, value) pairs, as :func:`~mmnetaug.engine.history.read_history` gives.
        path: the picture, PNG or SVG by its suffix.
        ylabel: what the values are, with the unit.
    """
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for index, (name, histories) in enumerate(runs.items()):
        epochs, values = common_epochs(histories)
        if not epochs:
            raise InputError(f'{name}: its runs were validated after no epoch in common, of which curves are drawn')
        longest = max(max(dict(history)) for history in histories)
        if epochs[-1] < longest:
            print_log(
                f'{name}: drawn up to epoch {epochs[-1]}, where the first of its runs ends, of {longest}',
                'current',
                logging.WARNING,
            )
        seeds = f' ({len(histories)} seeds)' if len(histories) > 1 else ''
        axes.plot(epochs, values.mean(0), label=name + seeds, markevery=mark_every(epochs), **style(index))
        if len(histories) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=COLORS[index % len(COLORS)], alpha=0.15)
    axes.set_xlabel('epoch')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    _pad_single(axes)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small')
    return save_figure(figure, path)


def plot_run(rows: Sequence[Mapping[str, str]], path: str | Path) -> Path:
    """Losses and measures of a run over its epochs.

    Args:
        rows: of ``results.csv``, see :class:`~mmnetaug.engine.hooks.ResultsHook`.
        path: the picture, PNG or SVG by its suffix.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    losses = [name for name in names if 'loss' in name and '/' not in name]  # not the AP50 of a class such as blossom
    others = {*losses, 'epoch', 'seconds', 'lr'}
    measures = [name for name in names if name not in others and not of_one_class(name)]
    figure = Figure(figsize=(10, 4), layout='constrained')
    both = figure.subplots(1, 2)
    for axes, shown, label in zip(both, (losses, measures[:6]), ('mean loss of the epoch', 'validation')):
        for index, name in enumerate(shown):
            points = [(int(row['epoch']), float(row[name])) for row in rows if row.get(name)]
            axes.plot(*zip(*points), label=name, markevery=mark_every(points), markersize=5, **style(index))
        axes.set_xlabel('epoch')
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        _pad_single(axes)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if shown:
            axes.legend(fontsize='small')
    return save_figure(figure, path)


def _pad_single(axes: Axes) -> None:
    """Round limits about all points of a picture that are at one place of the horizontal axis."""
    values = np.concatenate([np.zeros(0), *(line.get_xdata() for line in axes.get_lines())])
    if len(values) and np.ptp(values) == 0:
        half = max(1, 0.1 * abs(values[0]))
        axes.set_xlim(values[0] - half, values[0] + half)


MANY = 10  # classes, from which on not each has a line of its own in a legend


def plot_precision_recall(curves: Mapping[str, Any], path: str | Path) -> Path:
    """Precision against recall of each class at IoU 0.5. Of more than ten classes the three best and the three worst
    are named.

    Args:
        curves: name of a class -> :class:`~mmnetaug.evaluation.matching.PrecisionRecall`.
        path: the picture, PNG or SVG by its suffix.
    """
    ranked = sorted(curves, key=lambda name: -curves[name].ap)
    named = ranked if len(ranked) <= MANY else [*ranked[:3], *ranked[-3:]]
    figure = Figure(figsize=(6.5, 5))
    axes = figure.subplots()
    for name in ranked:
        curve = curves[name]
        # from the first detection on; after the last one, nothing more is found
        recall, precision = [0, *curve.recall], [*curve.precision[:1], *curve.precision]
        if not len(curve.scores):
            recall, precision = [0], [0]
        look = {'color': 'lightgray', 'linewidth': 0.8}
        if name in named:
            look = {**style(named.index(name)), 'marker': '', 'label': f'{literal(name)} {curve.ap:.3f}'}
        axes.plot(recall, precision, zorder=2 if name in named else 1, **look)
    mean = np.mean([curve.ap for curve in curves.values()])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel('recall')
    axes.set_ylabel('precision')
    axes.set_title(f'IoU 0.5, mean AP {mean:.3f} of {len(curves)} classes (area)', fontsize='medium')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small', title='AP50', loc='center left', bbox_to_anchor=(1, 0.5))
    return save_figure(figure, path)


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], path: str | Path, note: str = '') -> Path:
    """How often each class is taken for which, coloured by the share of its row.

    Args:
        matrix: of :func:`~mmnetaug.evaluation.matching.confusion_matrix`.
        classes: their names.
        path: the picture, PNG or SVG by its suffix.
        note: what counts as a detection, for the title.
    """
    names = [*map(literal, classes), 'background']
    side = min(3.5 + 0.45 * len(names), 16)
    figure = Figure(figsize=(side + 1, side))
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=1)
    if len(names) <= 25:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = 'white' if share[row, column] > 0.6 else 'black'
                axes.text(column, row, str(count), ha='center', va='center', color=color, fontsize='small')
    small, every = 'small' if len(names) <= 25 else 6, -(-len(names) // 120)  # more names would lie on each other
    ticks = range(0, len(names), every)
    names = [name if len(name) <= 40 else f'{name[:39]}…' for name in names[::every]]
    axes.set_xticks(ticks, names, rotation=90, fontsize=small)
    axes.set_yticks(ticks, names, fontsize=small)
    axes.set_xlabel('detected as (background: missed)')
    axes.set_ylabel('object (background: none there)')
    axes.set_title(f'IoU 0.5, {note}' if note else 'IoU 0.5', fontsize='medium')
    figure.colorbar(image, label='share of the row', shrink=0.8)
    return save_figure(figure, path)
