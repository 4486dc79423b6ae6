"""AP against MACs: what one method saves at equal AP, and how sure that is over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from scipy import stats

from mmnetaug.errors import InputError

Curve = Sequence[tuple[float, float]]


class Saving(NamedTuple):
    """MACs that a curve saves against a reference at equal AP, as fractions; negative where it needs more.

    Attributes:
        mean: over the range of AP, of the logarithm of the ratio of MACs.
        at_lowest: at the lower end of the range.
        at_highest: at the upper end.
        ap_range: lowest and highest AP that both curves reach, in the unit of the curves.
    """

    mean: float
    at_lowest: float
    at_highest: float
    ap_range: tuple[float, float]


def macs_saved(reference: Curve, other: Curve) -> Optional[Saving]:
    """The share of the reference's MACs that ``other`` saves at equal AP.

    The cost of an AP level is the least MACs at which a curve reaches it: points in the order of their MACs, joined
    by straight lines over the logarithm of MACs. Averaged over the common range of AP this is Bjontegaard's delta
    rate (VCEG-M33), with straight lines instead of a cubic. Nothing is extrapolated: a curve says something from the
    AP of its cheapest point to its highest AP. Of several points with equal MACs the best counts.

    Args:
        reference: (MACs, AP) points in any order, AP in any unit.
        other: the same for the curve that is compared with it.

    Returns:
        None where no AP level is in the range of both curves.

    Raises:
        InputError: a curve without points, MACs that are not positive, or an AP that is no number.
    """
    curves = [_by_cost(curve) for curve in (reference, other)]
    low = max(curve[0][1] for curve in curves)
    high = min(max(ap for _, ap in curve) for curve in curves)
    if low > high:
        return None

    def log_ratio(ap: float) -> float:
        return _log_cost(curves[1], ap) - _log_cost(curves[0], ap)

    # Between the APs of points both costs are straight in AP, so that the middle of each piece is its mean.
    levels = sorted({low, high, *(ap for curve in curves for _, ap in curve if low < ap < high)})
    pieces = [(b - a, log_ratio((a + b) / 2)) for a, b in zip(levels, levels[1:])]
    mean = sum(width * value for width, value in pieces) / (high - low) if pieces else log_ratio(low)
    return Saving(*(1 - math.exp(value) for value in (mean, log_ratio(low), log_ratio(high))), (low, high))


def _by_cost(curve: Curve) -> list[tuple[float, float]]:
    best: dict[float, float] = {}
    for macs, ap in curve:
        if not (0 < macs < math.inf and math.isfinite(ap)):
            raise InputError(f'a point with {macs} MACs and AP {ap}: expected positive MACs and a number')
        best[macs] = max(ap, best.get(macs, ap))
    if not best:
        raise InputError('a curve without points: expected (MACs, AP) pairs')
    return sorted(best.items())


def _log_cost(curve: list[tuple[float, float]], level: float) -> float:
    """Logarithm of the least MACs at which the curve reaches ``level``, which lies in its range."""
    before = curve[0]
    for macs, ap in curve:
        if ap >= level:
            share = (level - before[1]) / (ap - before[1]) if ap > before[1] else 0
            return math.log(before[0]) + share * (math.log(macs) - math.log(before[0]))
        before = (macs, ap)
    raise AssertionError('the level is above the curve')


def mean_curve(points: Sequence[Mapping[str, Any]], method: str, measure: str) -> list[tuple[float, float]]:
    """(MACs, mean AP over seeds) of a method, one point an image size.

    Args:
        points: each with ``method``, ``size``, ``seed``, ``macs`` and ``measure``.
        method: whose points.
        measure: which AP.
    """
    sizes: dict[int, list] = {}
    for point in points:
        if point['method'] == method:
            sizes.setdefault(point['size'], []).append((point['macs'], point[measure]))
    return sorted(tuple(float(value) for value in np.mean(values, axis=0)) for values in sizes.values())


def compare(points: Sequence[Mapping[str, Any]], method: str, reference: str, measure: str) -> dict[str, Any]:
    """MACs saved by a method: of the curves of means, and of each seed's own pair of curves.

    Args:
        points: as in :func:`mean_curve`, AP as fractions.
        method: what is compared.
        reference: with what.
        measure: which AP.

    Returns:
        Plain data: ``method``, ``reference``, ``measure``; ``saving``, ``saving_at_lowest``, ``saving_at_highest``
        (fractions) and ``ap_range``, all None without overlap; ``per_seed``: seed and ``saving`` of each seed that
        both methods have; ``differences``, as in :func:`paired_differences`.
    """
    found = macs_saved(mean_curve(points, reference, measure), mean_curve(points, method, measure))
    seeds = [{point['seed'] for point in points if point['method'] == name} for name in (reference, method)]
    per_seed = []
    for seed in sorted(set.intersection(*seeds)):
        own = [point for point in points if point['seed'] == seed]
        saving = macs_saved(mean_curve(own, reference, measure), mean_curve(own, method, measure))
        per_seed.append({'seed': seed, 'saving': saving and saving.mean})
    return {
        'method': method,
        'reference': reference,
        'measure': measure,
        'saving': found and found.mean,
        'saving_at_lowest': found and found.at_lowest,
        'saving_at_highest': found and found.at_highest,
        'ap_range': found and list(found.ap_range),
        'per_seed': per_seed,
        'differences': paired_differences(points, method, reference, measure),
    }


def paired_differences(
    points: Sequence[Mapping[str, Any]], method: str, reference: str, measure: str, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """AP of a method minus that of the reference with the same seed, for each image size.

    Args:
        points: as in :func:`mean_curve`.
        method: what is compared.
        reference: with what.
        measure: which AP.
        confidence: of the interval, by Student's t distribution over seeds.

    Returns:
        One dict for each size that both have with at least two seeds: ``size``, ``mean``, ``interval`` (low, high)
        and ``seeds``, their number.
    """
    values = {(point['method'], point['size'], point['seed']): point[measure] for point in points}
    rows = []
    for size in sorted({point['size'] for point in points}):
        differences = [
            ap - values[reference, size, seed]
            for (name, its_size, seed), ap in values.items()
            if (name, its_size) == (method, size) and (reference, size, seed) in values
        ]
        if len(differences) < 2:
            continue
        mean, error = float(np.mean(differences)), float(stats.sem(differences))
        half = float(stats.t.ppf((1 + confidence) / 2, len(differences) - 1)) * error
        rows.append({'size': size, 'mean': mean, 'interval': [mean - half, mean + half], 'seeds': len(differences)})
    return rows


def headline(comparison: Mapping[str, Any], names: Mapping[str, str], measure: str = 'AP50') -> str:
    """What a comparison says, in one sentence.

    Args:
        comparison: of :func:`compare`.
        names: method -> how to call it.
        measure: how to call the AP.
    """
    name, reference = names[comparison['method']], names[comparison['reference']]
    if comparison['saving'] is None:
        return f'No overlap: {name} and the {reference} reach no common {measure}, so there is no saving to state.'
    low, high = (f'{100 * ap:.1f}' for ap in comparison['ap_range'])
    at = f'{measure} {low}%' if low == high else f'{measure} from {low} to {high}%'
    savings = [row['saving'] for row in comparison['per_seed'] if row['saving'] is not None]
    seeds = f'{len(comparison["per_seed"])} seed{"s" if len(comparison["per_seed"]) != 1 else ""}'
    if len(comparison['per_seed']) > 1 and savings:
        seeds += ': ' + _range(savings)
    without = len(comparison['per_seed']) - len(savings)
    if without:
        seeds += f', {without} without overlap'
    return (
        f'At equal {measure}, {name} needs {_amount(comparison["saving"])} MACs than the {reference} ({at}; {seeds}).'
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
