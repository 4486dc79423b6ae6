"""Figures over seeds, panel beside panel: means, bars of one standard deviation, differences in words above."""

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker, transforms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmnetaug.visualization.fonts import choose_font
from mmnetaug.visualization.style import common_epochs, mark_every, save_figure, style


def plot_tradeoff(
    panels: Sequence[dict[str, Any]],
    paths: Sequence[str | Path],
    title: str = '',
    note: str = '',
    xlabel: str = '',
) -> None:
    """Quality against cost of several methods: means over seeds, with bars of one sample standard deviation.

    Methods have the same costs, so their markers are set apart sideways by a few points.

    Args:
        panels: side by side, each with ``measure`` (what the quality is), ``series``: name of a method -> (cost, what
            to write below it, quality of each seed as a fraction) of each of its points; and ``lines``: sentences
            above it.
        paths: the pictures, PNG or SVG by their suffixes.
        title: above all.
        note: in small print below all.
        xlabel: what the cost is.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel['series']))
    choose_font(names)
    _draw_panels(panels, partial(_draw_tradeoff, names=names, xlabel=xlabel), paths, title, note, legend=True)


def _draw_tradeoff(axes: Axes, panel: dict[str, Any], names: Sequence[str], xlabel: str) -> None:
    axes.set_xscale('log')
    low, high = [], []
    for name, points in panel['series'].items():
        index, points = names.index(name), sorted(points)
        means = np.array([100 * np.mean(aps) for _, _, aps in points])
        bars = np.array([100 * np.std(aps, ddof=1) if len(aps) > 1 else 0 for _, _, aps in points])
        low.append((means - bars).min())
        high.append((means + bars).max())
        sideways = (index - (len(names) - 1) / 2) * 4 / 72  # inches
        axes.errorbar(
            [cost for cost, _, _ in points],
            means,
            bars if bars.any() else None,
            label=name,
            capsize=3,
            elinewidth=1,
            markersize=6.5,
            markeredgecolor='white',
            markeredgewidth=0.7,
            transform=axes.transData + transforms.ScaledTranslation(sideways, 0, axes.figure.dpi_scale_trans),
            **style(index),
        )
    # matplotlib finds no limits for lines that are moved sideways
    margin = max(0.08 * (max(high) - min(low)), 0.5)
    axes.set_ylim(min(low) - margin, max(high) + margin)
    costs = sorted({(cost, label) for points in panel['series'].values() for cost, label, _ in points})
    aside = 1.03 if len({cost for cost, _ in costs}) > 1 else 1.5
    axes.set_xlim(
        costs[0][0] ** 1.07 / costs[-1][0] ** 0.07 / aside, costs[-1][0] ** 1.07 / costs[0][0] ** 0.07 * aside
    )
    span, labelled = np.log(costs[-1][0] / costs[0][0]), []
    for cost, label in reversed(costs):  # so that labels of neighbours do not overlap
        if not labelled or np.log(labelled[-1][0] / cost) > 0.12 * span:
            labelled.append((cost, label))
    axes.set_xticks([cost for cost, _ in labelled], [f'{_short(cost)}\n{label}'.strip() for cost, label in labelled])
    axes.set_xticks([cost for cost, _ in costs], minor=True)
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.tick_params(labelsize='small')
    axes.set_xlabel(xlabel)
    axes.set_ylabel(f'{panel["measure"]} (%)')
    axes.grid(alpha=0.3)


def _short(number: float) -> str:
    return f'{number:.0f}' if number >= 100 else f'{number:.3g}'


def plot_methods(
    panels: Sequence[dict[str, Any]],
    paths: Sequence[str | Path],
    title: str = '',
    note: str = '',
) -> None:
    """Accuracy of several methods: the mean over seeds, a bar of one standard deviation, and every seed.

    Args:
        panels: side by side, each with ``series``: name of a method -> quality of each seed as a fraction, with a
            dashed line at the mean of 'baseline'; ``labels``: name -> what stands beside its marker; and ``lines``:
            sentences above it.
        paths, title, note: as in :func:`plot_tradeoff`.
    """
    _draw_panels(panels, _draw_methods, paths, title, note)


def _draw_methods(axes: Axes, panel: dict[str, Any]) -> None:
    if 'baseline' in panel['series']:
        axes.axhline(100 * np.mean(panel['series']['baseline']), color='black', linestyle='--', linewidth=1)
    for index, (name, values) in enumerate(panel['series'].items()):
        values = 100 * np.asarray(values)
        look = {**style(index), 'linestyle': 'none'}
        bar = values.std(ddof=1) if len(values) > 1 else None
        axes.errorbar(index, values.mean(), bar, capsize=4, markersize=9, **look)
        if len(values) > 1:
            spots = index + 0.2 + 0.02 * np.arange(len(values))
            axes.plot(spots, values, **{**look, 'marker': '.'}, markersize=5)
        label, place = panel['labels'].get(name, ''), (index, values.mean())
        ground = {'facecolor': 'white', 'edgecolor': 'none', 'pad': 1}  # the dashed line may be at its height
        axes.annotate(label, place, (-9, 0), textcoords='offset points', ha='right', va='center', bbox=ground)
    axes.set_xticks(range(len(panel['series'])), panel['series'])
    axes.margins(0.12, 0.15)
    axes.set_xlim(-0.6, len(panel['series']) - 0.4)
    axes.tick_params(labelsize='small')
    axes.set_ylabel('top-1 accuracy (%)')
    axes.grid(axis='y', alpha=0.3)


def plot_learning(
    panels: Sequence[dict[str, Any]], paths: Sequence[str | Path], title: str = '', note: str = ''
) -> None:
    """Accuracy on training and on validation images over epochs, and the gap between the two at the end.

    Args:
        panels: side by side, each with ``series``: name of a method -> (validation, training), of which each has for
            each seed (epoch, accuracy as a fraction) pairs; and ``lines``: sentences above it.
        paths, title, note: as in :func:`plot_tradeoff`.
    """
    _draw_panels(panels, _draw_learning, paths, title, note)


def _draw_learning(axes: Axes, panel: dict[str, Any]) -> None:
    for index, (name, both) in enumerate(panel['series'].items()):
        ends = []
        for split, histories, filled in zip(('validation', 'training'), both, (True, False)):
            epochs, values = common_epochs(histories)
            look = style(index)
            look.update(linestyle='-' if filled else '--', markerfacecolor=look['color'] if filled else 'white')
            axes.plot(epochs, 100 * values.mean(0), label=f'{name}, {split}', markevery=mark_every(epochs), **look)
            if len(histories) > 1:
                band = (100 * values.min(0), 100 * values.max(0))
                axes.fill_between(epochs, *band, color=look['color'], alpha=0.15, linewidth=0)
            ends.append(100 * values.mean(0)[-1])
        # To the right of the curves, an arrow for each method from validation to training.
        x = epochs[-1] * (1.04 + 0.1 * index)
        arrow = {'arrowstyle': '<->', 'color': style(index)['color'], 'shrinkA': 0, 'shrinkB': 0}
        axes.annotate('', (x, ends[1]), (x, ends[0]), arrowprops=arrow)
        axes.text(x, np.mean(ends), f' {ends[1] - ends[0]:+.1f}', fontsize=7.5, va='center')
    axes.set_xlim(right=epochs[-1] * (1.06 + 0.1 * len(panel['series'])))
    axes.set_xlabel('epoch')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_ylabel('top-1 accuracy (%)')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small', handlelength=3.5)


def plot_rates(panels: Sequence[dict[str, Any]], paths: Sequence[str | Path], title: str = '', note: str = '') -> None:
    """Accuracy on validation and training images against learning rate, and differences between methods.

    Args:
        panels: side by side, each with ``lines`` (sentences above it) and either ``curves``: name of a method ->
            ``rates``, ``points`` (validation and training accuracy of each seed, as fractions, for each rate) and
            ``best``, the rate to mark; or ``differences``: what is compared -> (rate, mean, 95% interval or None) of
            each rate, as fractions.
        paths, title, note: as in :func:`plot_tradeoff`.
    """
    _draw_panels(panels, _draw_rates, paths, title, note)


def _draw_rates(axes: Axes, panel: dict[str, Any]) -> None:
    axes.set_xscale('log', base=2)
    rates = set()
    for index, (name, curve) in enumerate(panel.get('curves', {}).items()):
        rates.update(curve['rates'])
        for split, filled in enumerate((True, False)):
            values = [100 * np.asarray(both[split]) for both in curve['points']]
            means = [value.mean() for value in values]
            bars = [value.std(ddof=1) if len(value) > 1 else 0 for value in values]
            look = style(index)
            look.update(linestyle='-' if filled else '--', markerfacecolor=look['color'] if filled else 'white')
            label = f'{name}, {("validation", "training")[split]}'
            axes.errorbar(curve['rates'], means, bars if any(bars) else None, label=label, capsize=3, **look)
            if filled:
                best = means[curve['rates'].index(curve['best'])]
                mark = {'color': look['color'], 'markeredgecolor': 'black', 'zorder': 3}
                axes.plot(curve['best'], best, marker='*', markersize=16, **mark)
        axes.set_ylabel('top-1 accuracy (%)')
    if 'differences' in panel:
        axes.axhline(0, color='black', linewidth=1)
        for index, (name, rows) in enumerate(panel['differences'].items()):
            rates.update(rate for rate, _, _ in rows)
            means = np.array([100 * mean for _, mean, _ in rows])
            ends = np.array([[100 * end for end in interval or (mean, mean)] for _, mean, interval in rows])
            sideways = 2 ** (0.06 * (index - (len(panel['differences']) - 1) / 2))  # bars beside each other
            axes.errorbar(
                [rate * sideways for rate, _, _ in rows],
                means,
                np.abs(ends.T - means),
                label=name,
                capsize=3,
                **style(index),
            )
        axes.set_ylabel('difference in validation accuracy (points)')
    axes.set_xlim(min(rates) / 1.3, max(rates) * 1.3)
    axes.set_xticks(sorted(rates), [f'{rate:g}' for rate in sorted(rates)])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel('learning rate (logarithmic)')
    axes.tick_params(labelsize='small')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='x-small', handlelength=3.5)


def _draw_panels(
    panels: Sequence[dict[str, Any]],
    draw: Callable[[Axes, dict[str, Any]], None],
    paths: Sequence[str | Path],
    title: str,
    note: str,
    legend: bool = False,
) -> None:
    """Panels side by side, the ``lines`` of each above it, a title above all and a note in small print below.

    Panels with the same ``scale``, where they have one, share the limits of their y axes. With ``legend`` one for
    all panels is beside the last: lines that are moved sideways cannot be kept clear of.
    """
    width, height = 6.4, 4.2
    figure = Figure(figsize=(width * len(panels), height))
    row = figure.subplots(1, len(panels), squeeze=False)
    scales: dict[Any, list[Axes]] = {}
    for axes, panel in zip(row[0], panels):
        draw(axes, panel)
        scales.setdefault(panel.get('scale', axes), []).append(axes)
        lines = '\n'.join(textwrap.fill(line, 84, subsequent_indent='    ') for line in panel['lines'])
        axes.set_title(lines, fontsize=7.5, loc='left', linespacing=1.3)
    for same in scales.values():
        limits = [limit for axes in same for limit in axes.get_ylim()]
        for axes in same:
            axes.set_ylim(min(limits), max(limits))
    if legend:
        shown = {label: handle for axes in row[0] for handle, label in zip(*axes.get_legend_handles_labels())}
        place = {'loc': 'upper left', 'bbox_to_anchor': (1.01, 1.02)}
        row[0][-1].legend(shown.values(), shown.keys(), fontsize='small', handlelength=3.5, **place)
    tallest = max(axes.get_title(loc='left').count('\n') + 1 for axes in row[0])
    box = row[0][0].get_position()
    figure.text(box.x0, box.y1 + (0.12 + 0.14 * tallest) / height, title, fontsize='large', va='bottom')
    figure.text(box.x0, -0.05, textwrap.fill(note, 92 * len(panels)), fontsize=7.5, va='top', linespacing=1.3)
    save_figure(figure, *paths)
