"""Pictures and tables of accuracy: figures 1, 3 and 4 of the NetAug paper, and accuracy against learning rate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmnetaug.config_files import methods
from mmnetaug.errors import InputError
from mmnetaug.evaluation.tradeoff import compare, headline, paired_differences
from mmnetaug.records import table
from mmnetaug.visualization import plot_learning, plot_methods, plot_rates, plot_tradeoff
from mmnetaug.workflow import report

# How figures call methods, where not by their own names.
NAMES = {
    'autoaugment': 'AutoAugment',
    'distill': 'distillation',
    'dropblock': 'DropBlock',
    'netaug': 'NetAug',
    'baseline_twice': 'baseline, loss twice',
    'netaug_halved': 'NetAug, losses halved',
}
TITLES = {
    'fig1': 'Regularisation and NetAug',
    'fig3': 'Accuracy against the length of training',
    'fig4': 'Accuracy over training',
    'lr': 'Accuracy against learning rate',
}
# What that over learning rates compares: with the baseline, and the two with the large gradient with each other.
PAIRS = (
    ('netaug', 'baseline'),
    ('distill', 'baseline'),
    ('netaug', 'baseline_twice'),
    ('netaug_halved', 'baseline'),
    ('baseline_twice', 'baseline'),
)


def write_accuracy(
    figure: str, settings: Mapping[str, Any], points: Sequence[dict[str, Any]], out: str | Path
) -> dict[str, Any]:
    """Draw a figure as PNG and SVG, and write its Markdown and JSON.

    Args:
        figure: 'fig1', 'fig3', 'fig4' or 'lr'.
        settings: with ``networks`` and ``data``; goes to the JSON as it is.
        points: each with ``network``, ``arch``, ``macs``, ``params``, ``method``, ``epochs``, ``seed``, and, as
            fractions, ``accuracy``, ``train_accuracy`` and ``history`` (of both, with ``epoch``). 'lr' needs ``lr``.
        out: the folder.

    Returns:
        What the JSON holds: ``version``, ``figure``, ``settings``, ``headline``, ``comparisons`` (each with
        ``network``, ``method`` and ``text``) and ``points``.
    """
    out, order = Path(out), list(methods())
    out.mkdir(parents=True, exist_ok=True)
    networks = [name for name in settings['networks'] if any(point['network'] == name for point in points)]
    points = sorted(
        ({**point, 'gap': point['train_accuracy'] - point['accuracy']} for point in points),
        key=lambda p: (networks.index(p['network']), order.index(p['method']), p[VARIED[figure]], p['seed']),
    )
    comparisons, panels = [], []
    for network in networks:
        own = [point for point in points if point['network'] == network]
        if len(different := _networks(own)) > 1:
            raise InputError(
                f'the runs of {network} are of different networks, as if a config or a network had changed between '
                f'them: {", ".join(different)}. Delete the folders of those that are out of date, or give '
                'another --out'
            )
        its_methods = [method for method in order if any(point['method'] == method for point in own)]
        arch, rate = own[0]['arch'], network.partition('@')[2]
        size = f'{arch}: {own[0]["macs"] / 1e6:.4g} M MACs, {own[0]["params"] / 1e6:.3g} M parameters'
        size += f', learning rate {rate}' if rate else ''
        if figure == 'lr':
            its, panels = _rate_panels(own, its_methods, size)
            comparisons += [{'network': network, **comparison} for comparison in its]
            continue
        its = [COMPARE[figure](own, method) for method in its_methods if _paired(own, method)]
        comparisons += [{'network': network, **comparison} for comparison in its]
        series = {_name(method): SERIES[figure](own, method) for method in its_methods}
        lines = [size, *(comparison['text'] for comparison in its)]
        labels = {_name(row['method']): f'{100 * row["difference"]["mean"]:+.2f}' for row in its if figure == 'fig1'}
        panel = {'measure': 'top-1 accuracy', 'series': series, 'labels': labels, 'lines': lines, 'scale': arch}
        panels.append(panel)
    pictures = [out / f'{figure}.png', out / f'{figure}.svg']
    title, note = f'{TITLES[figure]}, {Path(settings["data"]).name}', _note(figure, points)
    if figure == 'fig1':
        plot_methods(panels, pictures, title, note)
    elif figure == 'fig3':
        plot_tradeoff(panels, pictures, title, note, 'epochs of training (logarithmic)')
    elif figure == 'lr':
        plot_rates(panels, pictures, title, note)
    else:
        plot_learning(panels, pictures, title, note)
    markdown = _markdown(figure, title, note, settings, points, comparisons)
    return report.write_report(figure, out, settings, comparisons, points, markdown)


def _name(method: str) -> str:
    return NAMES.get(method, method)


def _networks(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """One run of each network among the points: its folder and its size."""
    runs = {(p['arch'], p['macs'], p['params']): str(Path(p.get('result', '')).parent) for p in points}
    return [f'{run} ({arch}, {macs} MACs, {params} parameters)' for (arch, macs, params), run in runs.items()]


def _values(points: Sequence[Mapping[str, Any]], method: str, measure: str = 'accuracy') -> list[float]:
    return [point[measure] for point in points if point['method'] == method]


def _by_length(points: Sequence[Mapping[str, Any]], method: str) -> list[tuple[int, str, list[float]]]:
    lengths = sorted({point['epochs'] for point in points if point['method'] == method})
    return [(length, '', _values([p for p in points if p['epochs'] == length], method)) for length in lengths]


def _histories(points: Sequence[Mapping[str, Any]], method: str) -> list[list[list[tuple[int, float]]]]:
    """Validation and training, of which each has (epoch, accuracy) pairs for each seed."""
    own = [point for point in points if point['method'] == method]
    return [
        [[(row['epoch'], row[measure]) for row in point['history']] for point in own]
        for measure in ('accuracy', 'train_accuracy')
    ]


def _paired(points: Sequence[Mapping[str, Any]], method: str) -> bool:
    return method != 'baseline' and bool(paired_differences(points, method, 'baseline', 'accuracy', by='network'))


def _difference(points: Sequence[Mapping[str, Any]], method: str, measure: str) -> dict[str, Any]:
    return paired_differences(points, method, 'baseline', measure, by='network')[0]


def _difference_text(found: Mapping[str, Any]) -> str:
    if found['interval'] is None:
        return f'{100 * found["mean"]:+.2f} points (one seed)'
    return f'{100 * found["mean"]:+.2f} points (95%: {report.interval_text(found["interval"])}; {found["seeds"]} seeds)'


def _compare_methods(points: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    found = _difference(points, method, 'accuracy')
    return {'method': method, 'difference': found, 'text': f'{_name(method)}: {_difference_text(found)}'}


def _compare_lengths(points: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    found = compare(points, method, 'baseline', 'accuracy', cost='epochs', by='epochs')
    return {
        **found,
        'text': headline(found, {name: _name(name) for name in ('baseline', method)}, 'accuracy', 'epochs'),
    }


def _compare_learning(points: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    found = {measure: _difference(points, method, measure) for measure in ('train_accuracy', 'accuracy', 'gap')}
    seeds = [{point['seed'] for point in points if point['method'] == name} for name in ('baseline', method)]
    both = [point for point in points if point['seed'] in seeds[0] & seeds[1]]
    gaps = [100 * np.mean(_values(both, name, 'gap')) for name in ('baseline', method)]
    text = (
        f'{_name(method)}: {_difference_text(found["train_accuracy"])} in training, '
        f'{_difference_text(found["accuracy"])} in validation; gap {gaps[0]:.1f} to {gaps[1]:.1f}'
    )
    return {'method': method, 'differences': found, 'text': text}


def _rate_panels(
    points: Sequence[Mapping[str, Any]], its_methods: Sequence[str], size: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Comparisons of the figure over learning rates, and its two panels."""
    bests = {method: _best_rate(points, method) for method in its_methods}
    at_best = [point for point in points if point['lr'] == bests[point['method']]['lr']]
    comparisons, differences = [], {}
    for method, reference in PAIRS:
        rows = paired_differences(points, method, reference, 'accuracy', by='lr')
        if not rows:
            continue
        pair = {'method': method, 'reference': reference, 'differences': rows}
        rates = f'{bests[method]["lr"]:g} and {bests[reference]["lr"]:g}'
        text = f'{_name(method)} minus {_name(reference)}, each at its best learning rate ({rates}): '
        found = paired_differences(at_best, method, reference, 'accuracy', by='network')
        text += _difference_text(found[0]) if found else 'no seed in common'
        comparisons.append({**pair, 'difference': found[0] if found else None, 'text': text})
        label = f'{_name(method)} minus {_name(reference)}'
        differences[label] = [(row['lr'], row['mean'], row['interval']) for row in rows]
    curves = {
        _name(method): {
            'points': [
                tuple(
                    [p[key] for p in points if p['method'] == method and p['lr'] == rate]
                    for key in ('accuracy', 'train_accuracy')
                )
                for rate in bests[method]['rates']
            ],
            'rates': bests[method]['rates'],
            'best': bests[method]['lr'],
        }
        for method in its_methods
    }
    panels = [{'curves': curves, 'lines': [size, *(best['text'] for best in bests.values())]}]
    if differences:
        lines = ['Differences with the same seed.', *(comparison['text'] for comparison in comparisons)]
        panels.append({'differences': differences, 'lines': lines})
    return comparisons + list(bests.values()), panels


def _best_rate(points: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    """The learning rate with the highest mean accuracy over the seeds that all rates have, and whether it is an end."""
    own = [point for point in points if point['method'] == method]
    rates = sorted({point['lr'] for point in own})
    seeds = set.intersection(*({p['seed'] for p in own if p['lr'] == rate} for rate in rates))
    counted = [p for p in own if not seeds or p['seed'] in seeds]
    accuracies = {rate: [p['accuracy'] for p in counted if p['lr'] == rate] for rate in rates}
    best = max(rates, key=lambda rate: np.mean(accuracies[rate]))
    values = accuracies[best]
    text = f'{_name(method)}: best at {best:g}, {report.mean_and_spread(values)}%'
    if seeds != {p['seed'] for p in own}:
        text += f' (with the seeds that all its rates have: {", ".join(map(str, sorted(seeds))) or "none"})'
    factor = rates[1] / rates[0] if len(rates) > 1 else 2
    others = {point['lr'] for point in points}
    lower = max((rate for rate in others if rate < best), default=best / factor)
    higher = min((rate for rate in others if rate > best), default=best * factor)
    ends = {'lowest': (rates[0], lower), 'highest': (rates[-1], higher)}
    missing = {end: further for end, (rate, further) in ends.items() if rate == best}
    if missing:
        text += (
            f', its {" and ".join(missing)} rate: the curve does not turn down there, so add '
            f'--rates {" ".join(f"{rate:g}" for rate in missing.values())}'
        )
    found = {'method': method, 'lr': best, 'accuracy': float(np.mean(values)), 'seeds': len(values)}
    return {**found, 'rates': rates, 'at_end': list(missing), 'text': text}


COMPARE = {'fig1': _compare_methods, 'fig3': _compare_lengths, 'fig4': _compare_learning}
SERIES = {'fig1': _values, 'fig3': _by_length, 'fig4': _histories}
# What the points of a method differ in, beside the seed.
VARIED = {'fig1': 'epochs', 'fig3': 'epochs', 'fig4': 'epochs', 'lr': 'lr'}


def _note(figure: str, points: Sequence[Mapping[str, Any]]) -> str:
    networks = dict.fromkeys(point['network'] for point in points)
    lengths = [
        '/'.join(str(n) for n in sorted({p['epochs'] for p in points if p['network'] == network}))
        for network in networks
    ]
    same = len(set(lengths)) == 1
    epochs = lengths[0] if same else ', '.join(map(' '.join, zip(networks, lengths)))
    counts = Counter((point['network'], point['method'], point.get('lr'), point['epochs']) for point in points).values()
    if figure == 'fig4':
        several = f'Lines: mean over {report.count_seeds(counts)}; bands: their range. '
        bands = several if max(counts) > 1 else 'One seed. '
        return (
            f'{bands}Training accuracy is measured as validation accuracy is: in evaluation mode, on the same training '
            f'images without augmentation. Arrows: training minus validation at the end. Epochs: {epochs}.'
        )
    dots = ' Dots: seeds.' if max(counts) > 1 else ''
    more = {
        'fig1': dots + (' Dashed: baseline.' if any(point['method'] == 'baseline' for point in points) else ''),
        'fig3': ' An epoch of NetAug has two passes an image.',
        'lr': ' Stars: the best rate of a method. Training accuracy is measured as validation accuracy is: in '
        'evaluation mode, without augmentation. Right: bars are 95% intervals (Student). Learning rates '
        'are those of the batch size of the config.',
    }
    return f'{report.spread_note(counts)}{more[figure]} Epochs: {epochs}.'


def _markdown(
    figure: str,
    title: str,
    note: str,
    settings: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
) -> str:
    lines = [f'# {title}' if figure == 'lr' else f'# Figure {figure[3:]}: {title}', '']
    for comparison in comparisons:
        lines += [f'{comparison["network"]}: {comparison["text"]}', '']
    lines += [f'![{title}]({figure}.png)', '', note, '']
    if settings.get('command'):
        lines += [f'`{settings["command"]}`', '']
    lines += ['Top-1 accuracy in percent: mean over seeds, with the sample standard deviation.', '']
    varied = VARIED[figure]
    heading = {'lr': 'learning rate'}.get(varied, varied)
    groups: dict[tuple, list] = {}
    for point in points:
        groups.setdefault((point['network'], point['method'], point[varied]), []).append(point)
    rows = [
        [network, _name(method), value]
        + [report.mean_and_spread([p[measure] for p in own]) for measure in ('accuracy', 'train_accuracy', 'gap')]
        + [len(own)]
        for (network, method, value), own in groups.items()
    ]
    lines += table(['network', 'method', heading, 'validation', 'training', 'gap', 'seeds'], rows)
    rows = []
    for network in dict.fromkeys(point['network'] for point in points):
        own = [point for point in points if point['network'] == network]
        its_methods = dict.fromkeys(point['method'] for point in own if point['method'] != 'baseline')
        pairs = PAIRS if figure == 'lr' else [(method, 'baseline') for method in its_methods]
        for method, reference in pairs:
            for row in paired_differences(own, method, reference, 'accuracy', by=varied):
                compared = f'{_name(method)} minus {_name(reference)}'
                mean, interval = f'{100 * row["mean"]:+.2f}', report.interval_text(row['interval'])
                rows.append([network, compared, row[varied], mean, interval, row['seeds']])
    if rows:
        lines += ['', 'Differences with the same seed, in points of validation accuracy, with 95% intervals (Student).']
        lines += ['', *table(['network', 'methods', heading, 'difference', '95% interval', 'seeds'], rows)]
    lines += ['', 'Every run.', '']
    rows = [
        [point['network'], _name(point['method']), point[varied], point['seed']]
        + [f'{100 * point[measure]:.2f}' for measure in ('accuracy', 'train_accuracy')]
        for point in points
    ]
    lines += table(['network', 'method', heading, 'seed', 'validation', 'training'], rows)
    return '\n'.join(lines) + '\n'
