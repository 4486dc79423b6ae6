"""What a method saves at equal quality, and how sure that is over seeds."""

import math

import pytest
from helpers import ap_curves, ap_points

from mmnetaug import InputError
from mmnetaug.evaluation.tradeoff import compare, cost_saved, headline, paired_differences
from mmnetaug.workflow.fig5 import METHODS


@pytest.mark.parametrize(
    ('reference', 'other', 'expected', 'ap_range'),
    [
        # half the MACs for the same AP
        ([(1, 10), (4, 30)], [(0.5, 10), (2, 30)], (0.5, 0.5, 0.5), (10, 30)),
        # twice the MACs: 100% more
        ([(1, 10), (4, 30)], [(8, 30), (2, 10)], (-1, -1, -1), (10, 30)),
        # log10 of the costs: ap / 50 and (ap - 40) / 10, so that the ratio's goes from -0.8 to 0.8, 0 on average
        ([(100, 100), (1, 0)], [(1, 40), (100, 60)], (0, 1 - 10**-0.8, 1 - 10**0.8), (40, 60)),
        # a point in the middle: the ratio's log10 falls from 0 to -1 over ten points and stays there for ten more
        ([(1, 0), (100, 20)], [(1, 0), (1.0001, 10), (10, 20)], (1 - 10**-0.75, 0, 0.9), (0, 20)),
        # not monotone: the second dips, and reaches AP y above 10 at 10 ** (1 + y / 20) MACs; the first at
        # 10 ** ((y - 10) / 10). The ratio's log10 is 2 - y / 20, but 0 at the very end, where its first point is
        ([(1, 10), (10, 20)], [(1, 10), (10, 0), (100, 20)], (1 - 10**1.25, 0, -9), (10, 20)),
        # what comes after the highest AP, and more MACs for no more AP, change nothing
        ([(1, 10), (4, 30)], [(0.5, 10), (2, 30), (3, 30), (5, 20)], (0.5, 0.5, 0.5), (10, 30)),
        # equal MACs: the best counts
        ([(1, 10), (4, 30)], [(0.5, 3), (0.5, 10), (2, 30), (2, 9)], (0.5, 0.5, 0.5), (10, 30)),
        # one point, at the AP that the reference reaches with 10
        ([(1, 10), (100, 30)], [(5, 20)], (0.5, 0.5, 0.5), (20, 20)),
        ([(5, 20)], [(5, 20)], (0, 0, 0), (20, 20)),
        # one level in common
        ([(1, 10), (2, 30)], [(3, 30), (4, 50)], (-0.5, -0.5, -0.5), (30, 30)),
    ],
)
def test_cost_saved(reference, other, expected, ap_range):
    saving = cost_saved(reference, other)
    assert saving[:3] == pytest.approx(expected, abs=1e-4)
    assert saving.range == pytest.approx(ap_range)
    assert cost_saved(reference[::-1], other[::-1]) == saving, 'the order of the points changes nothing'


def test_nothing_is_extrapolated():
    low, high = [(1, 10), (2, 20)], [(1, 21), (2, 40)]
    assert cost_saved(low, high) is None and cost_saved(high, low) is None
    assert cost_saved([(5, 20)], [(5, 21)]) is None


@pytest.mark.parametrize('curve', [[], [(0, 10)], [(-1, 10)], [(1, math.nan)], [(math.inf, 3)]])
def test_no_curve(curve):
    with pytest.raises(InputError, match='expected'):
        cost_saved([(1, 10)], curve)


def test_paired_differences():
    rows = ap_points({'baseline': [0.50, 0.40, 0.30], 'netaug': [0.51, 0.42, 0.33]})
    rows += ap_points({'baseline': [0.2], 'netaug': [0.3]}, size=96)
    rows += ap_points({'baseline': [0.2, 0.3], 'baseline_mixup': [0.3, 0.4]}, size=128)
    single, found = paired_differences(rows, 'netaug', 'baseline', 'AP50_area')
    assert single == {'size': 96, 'mean': pytest.approx(0.1), 'interval': None, 'seeds': 1}
    # mean 2, deviation 1, 4.30265 from a table of t for two degrees of freedom
    half = 0.01 * 4.30265 / math.sqrt(3)
    assert (found['size'], found['seeds']) == (320, 3) and found['mean'] == pytest.approx(0.02)
    assert found['interval'] == pytest.approx([0.02 - half, 0.02 + half], abs=1e-7)


def test_headline():
    fewer = compare(ap_curves(0.6, 0.7, 0.25), 'netaug', 'baseline', 'AP50_area')
    assert headline(fewer, METHODS) == (
        'At equal AP50, NetAug needs 25.0% fewer MACs than the baseline (AP50 from 61.0 to 71.0%; '
        '2 seeds: 25.0% fewer).'
    )
    more = compare(ap_curves(0.6, 0.7, -0.5), 'netaug', 'baseline', 'AP50_area')
    assert 'NetAug needs 50.0% more MACs than the baseline' in headline(more, METHODS)
    for savings, words in [((0.05, 0.1), '5.0% to 10.0% fewer'), ((-0.2, 0.1), '20.0% more to 10.0% fewer')]:
        spread = {**more, 'per_seed': [{'seed': seed, 'saving': saving} for seed, saving in enumerate(savings)]}
        assert f'2 seeds: {words})' in headline(spread, METHODS)
    none = compare(ap_curves(0.6, 0.7, 0.25), 'baseline_mixup', 'baseline', 'AP50_area')
    assert none['saving'] is None and headline(none, METHODS).startswith(
        'No overlap: baseline + mixup and the baseline'
    )
    one_of_two = [row for row in ap_curves(0.6, 0.7, 0.25) if (row['method'], row['seed']) != ('netaug', 1)]
    for size, macs, ap in [(96, 1e7, 0.73), (128, 4e7, 0.80)]:
        one_of_two += ap_points({'netaug': [None, ap]}, size, macs)[1:]
    text = headline(compare(one_of_two, 'netaug', 'baseline', 'AP50_area'), METHODS)
    assert text.endswith('(AP50 from 66.5 to 71.0%; 2 seeds: 25.0% fewer, 1 without overlap).')


def test_runs_that_one_method_has_alone_are_left_out():
    rows, other = ap_curves(0.6, 0.7, 0.25), []
    for size, macs in [(96, 1e7), (128, 4e7)]:
        other += ap_points({'baseline': [None, None, 0.9]}, size, macs)[2:]
    found = compare(rows + other, 'netaug', 'baseline', 'AP50_area')
    assert found['saving'] == pytest.approx(0.25) and [row['seed'] for row in found['per_seed']] == [0, 1]
