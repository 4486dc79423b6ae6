"""Quality against cost: what one method saves at equal quality, and how sure that is over seeds.

Quality is AP or accuracy, cost is MACs or epochs.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mmnetaug.errors import InputError

Curve = Sequence[tuple[float, float]]


class Saving(NamedTuple):
    """Cost that a curve saves against a reference at equal quality, as fractions; negative where it costs more.

    Attributes:
        mean: over the range of quality, of the logarithm of the ratio of costs.
        at_lowest: at the lower end of the range.
        at_highest: at the upper end.
        range: lowest and highest quality that both curves reach, in the unit of the curves.
    """

    mean: float
    at_lowest: float
    at_highest: float
    range: tuple[float, float]


def cost_saved(reference: Curve, other: Curve) -> Saving | None:
    """The share of the reference's cost that ``other`` saves at equal quality.

    The cost of a level of quality is the least at which a curve reaches it: points in the order of their costs, joined
    by straight lines over the logarithm of cost. Averaged over the common range of quality this is Bjontegaard's
    delta rate (VCEG-M33), with straight lines instead of a cubic. Nothing is extrapolated: a curve says something from
    the quality of its cheapest point to its highest. Of several points with equal cost the best counts.

    Args:
        reference: (cost, quality) points in any order and unit.
        other: the same for the curve that is compared with it.

    Returns:
        None where no level is in the range of both curves.

    Raises:
        InputError: a curve without points, a cost that is not positive, or a quality that is no number.
    """
    curves = [_by_cost(curve) for curve in (reference, other)]
    low = max(curve[0][1] for curve in curves)
    high = min(max(quality for _, quality in curve) for curve in curves)
    if low > high:
        return None

    def log_ratio(level: float) -> float:
        return _log_cost(curves[1], level) - _log_cost(curves[0], level)

    # Between the qualities of points both costs are straight in it, so that the middle of each piece is its mean.
    levels = sorted({low, high, *(quality for curve in curves for _, quality in curve if low < quality < high)})
    pieces = [(b - a, log_ratio((a + b) / 2)) for a, b in pairwise(levels)]
    mean = sum(width * value for width, value in pieces) / (high - low) if pieces else log_ratio(low)
    return Saving(*(1 - math.exp(value) for value in (mean, log_ratio(low), log_ratio(high))), (low, high))


def _by_cost(curve: Curve) -> list[tuple[float, float]]:
    best: dict[float, float] = {}
    for cost, quality in curve:
        if not (0 < cost < math.inf and math.isfinite(quality)):
            raise InputError(f'a point with cost {cost} and quality {quality}: expected a positive cost and a number')
        best[cost] = max(quality, best.get(cost, quality))
    if not best:
        raise InputError('a curve without points: expected (cost, quality) pairs')
    return sorted(best.items())


def _log_cost(curve: list[tuple[float, float]], level: float) -> float:
    """Logarithm of the least cost at which the curve reaches ``level``, which lies in its range."""
    before = curve[0]
    for cost, quality in curve:
        if quality >= level:
            share = (level - before[1]) / (quality - before[1]) if quality > before[1] else 0
            return math.log(before[0]) + share * (math.log(cost) - math.log(before[0]))
        before = (cost, quality)
    raise AssertionError('the level is above the curve')


def mean_curve(
    points: Sequence[Mapping[str, Any]], method: str, measure: str, cost: str, by: str
) -> list[tuple[float, float]]:
    """(cost, mean quality over seeds) of a method, one point for each value of ``by``.

    Args:
        points: each with ``method``, ``seed`` and the keys that the other arguments name.
        method: whose points.
        measure: key of the quality.
        cost: key of the cost.
        by: key of what tells the points of a curve apart, such as the image size.
    """
    groups: dict[Any, list] = {}
    for point in points:
        if point['method'] == method:
            groups.setdefault(point[by], []).append((point[cost], point[measure]))
    return sorted(tuple(float(value) for value in np.mean(values, axis=0)) for values in groups.values())


def compare(
    points: Sequence[Mapping[str, Any]],
    method: str,
    reference: str,
    measure: str,
    cost: str = 'macs',
    by: str = 'size',
) -> dict[str, Any]:
    """What a method saves: of the curves of means, and of each seed's own pair of curves, of the runs that both have.

    Args:
        points, measure, cost, by: as in :func:`mean_curve`.
        method: what is compared.
        reference: with what.

    Returns:
        Plain data: ``method``, ``reference``, ``measure``, ``cost``; ``saving``, ``saving_at_lowest``,
        ``saving_at_highest`` (fractions) and ``range`` of quality, all None without overlap; ``per_seed``: seed and
        ``saving`` of each seed that both methods have; ``differences``, as in :func:`paired_differences`.
    """

    def saved(rows: Sequence[Mapping[str, Any]]) -> Saving | None:
        return cost_saved(*(mean_curve(rows, name, measure, cost, by) for name in (reference, method)))

    have = [{(point[by], point['seed']) for point in points if point['method'] == name} for name in (reference, method)]
    points = [point for point in points if (point[by], point['seed']) in have[0] & have[1]]
    found = saved(points) if points else None
    per_seed = []
    for seed in sorted({point['seed'] for point in points}):
        saving = saved([point for point in points if point['seed'] == seed])
        per_seed.append({'seed': seed, 'saving': saving and saving.mean})
    return {
        'method': method,
        'reference': reference,
        'measure': measure,
        'cost': cost,
        'saving': found and found.mean,
        'saving_at_lowest': found and found.at_lowest,
        'saving_at_highest': found and found.at_highest,
        'range': found and list(found.range),
        'per_seed': per_seed,
        'differences': paired_differences(points, method, reference, measure, by),
    }


def paired_differences(
    points: Sequence[Mapping[str, Any]],
    method: str,
    reference: str,
    measure: str,
    by: str = 'size',
) -> list[dict[str, Any]]:
    """Quality of a method minus that of the reference with the same seed, for each value of ``by``.

    Args:
        points, measure, by: as in :func:`mean_curve`.
        method: what is compared.
        reference: with what.

    Returns:
        One dict for each value of ``by`` that both have: its value under the name ``by``, ``mean``, ``interval`` (low,
        high: 95% by Student's t distribution over seeds; None for a single seed) and ``seeds``, their number.
    """
    values = {(point['method'], point[by], point['seed']): point[measure] for point in points}
    rows = []
    for group in dict.fromkeys(sorted(point[by] for point in points)):
        differences = [
            quality - values[reference, group, seed]
            for (name, its_group, seed), quality in values.items()
            if (name, its_group) == (method, group) and (reference, group, seed) in values
        ]
        if not differences:
            continue
        mean, interval = float(np.mean(differences)), None
        if len(differences) > 1:
            half = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
            interval = [mean - half, mean + half]
        rows.append({by: group, 'mean': mean, 'interval': interval, 'seeds': len(differences)})
    return rows


def headline(comparison: Mapping[str, Any], names: Mapping[str, str], measure: str = 'AP50', cost: str = 'MACs') -> str:
    """What a comparison says, in one sentence.

    Args:
        comparison: of :func:`compare`, with qualities as fractions.
        names: method -> how to call it.
        measure: how to call the quality.
        cost: how to call the cost.
    """
    name, reference = names[comparison['method']], names[comparison['reference']]
    if comparison['saving'] is None:
        return f'No overlap: {name} and the {reference} reach no common {measure}, so there is no saving to state.'
    low, high = (f'{100 * end:.1f}' for end in comparison['range'])
    at = f'{measure} {low}%' if low == high else f'{measure} from {low} to {high}%'
    savings = [row['saving'] for row in comparison['per_seed'] if row['saving'] is not None]
    seeds = f'{len(comparison["per_seed"])} seed{"s" if len(comparison["per_seed"]) != 1 else ""}'
    if len(comparison['per_seed']) > 1 and savings:
        seeds += ': ' + _range(savings)
    without = len(comparison['per_seed']) - len(savings)
    if without:
        seeds += f', {without} without overlap'
    return (
        f'At equal {measure}, {name} needs {_amount(comparison["saving"])} {cost} than the {reference} ({at}; {seeds}).'
    )


def _range(savings: Sequence[float]) -> str:
    ends = min(savings), max(savings)
    first, last = (_amount(saving) for saving in (sorted(ends, key=abs) if ends[1] < 0 else ends))
    if first == last:
        return first
    number, word = first.split()
    return f'{number if word == last.split()[1] else first} to {last}'


def _amount(saving: float) -> str:
    return f'{abs(100 * saving):.1f}% {"fewer" if saving >= 0 else "more"}'
