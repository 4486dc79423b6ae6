"""Figures 1, 3 and 4 of the NetAug paper: what regularisers and NetAug do to the accuracy of tiny and large networks.

All three are made of pretraining runs and share those that they have in common.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmnetaug.apis.overrides import lengthened
from mmnetaug.config_files import NETWORKS, PAPER, methods
from mmnetaug.errors import InputError
from mmnetaug.evaluation.tradeoff import compare, headline, paired_differences
from mmnetaug.records import read_record
from mmnetaug.visualization import plot_learning, plot_methods, plot_tradeoff
from mmnetaug.workflow import report
from mmnetaug.workflow.graph import Plan, Step, check_data
from mmnetaug.workflow.pretraining import Pretraining

# How figures call methods, where not by their own names.
NAMES = {'autoaugment': 'AutoAugment', 'dropblock': 'DropBlock', 'netaug': 'NetAug'}
TITLES = {
    'fig1': 'Regularisation and NetAug',
    'fig3': 'Accuracy against the length of training',
    'fig4': 'Accuracy over training',
}
# Values of the configs that have options of their own, tell the methods apart, or are needed for the figures.
OWN_OPTIONS = (
    *('train_cfg.max_epochs', 'param_scheduler', 'randomness', 'custom_hooks'),
    *('model.arch', 'model.netaug', 'model.num_classes', 'default_hooks.netaug', 'default_hooks.train_accuracy'),
    *(
        f'{split}_dataloader.dataset.{key}'
        for split in ('train', 'val', 'test')
        for key in ('data_root', 'num_classes')
    ),
)
LENGTHS = (1, 2, 4)  # figure 3: of training after warm-up, in those of the config


@dataclass(frozen=True)
class AccuracySettings:
    """What the user asks for. None takes the default of the figure.

    Attributes:
        figure: 'fig1', 'fig3' or 'fig4'.
        networks: endings of the pretraining configs, such as 'mbv2_tiny' for ``baseline_mbv2_tiny.py``.
        methods: of :func:`~mmnetaug.workflow.pretraining.methods`, in figure 1 alone; always with the baseline.
        epochs: of training, warm-up included: in figure 3 one run for each; in the others one number for all
            networks, or one for each.
        seeds: every method is trained once with each: one list for all networks, or one for each.
        pretrain_data: class folders, with any number of classes. None: the configs'.
        train_options: KEY=VALUE changes of the configs.
    """

    figure: str
    networks: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    epochs: Sequence[int] | None = None
    seeds: Sequence[Sequence[int]] = ((0, 1, 2),)
    pretrain_data: str | None = None
    train_options: Sequence[str] = ()


def plan_accuracy(settings: AccuracySettings, root: str | Path, out: str | Path, command: str = '') -> Plan:
    """The runs behind a figure. Everything that can be checked is checked here, before the first of them.

    Args:
        settings: what to compare.
        root: folder with ``configs`` and ``tools``.
        out: folder of the figure; figures with the same folder share their runs.
        command: what to type to do the same again, for the record.

    Raises:
        InputError: a value out of range; no data or config; other data in ``out``; results there that are damaged or of
            another version.
    """
    root, out, figure = Path(root).resolve(), Path(out).resolve(), settings.figure
    networks = list(dict.fromkeys(settings.networks or NETWORKS[: 1 if figure == 'fig3' else 2]))
    seeds = _by_network('--seeds', [report.check_seeds(seeds) for seeds in settings.seeds], networks)
    known = methods()
    wanted = settings.methods or (*(PAPER if figure == 'fig1' else ()), 'netaug')
    if unknown := [method for method in wanted if method not in known]:
        raise InputError(f'no method {unknown[0]}: expected some of {", ".join(known)}')
    wanted = [method for method in known if method in wanted or method == 'baseline']
    for epochs in settings.epochs or ():
        report.check_positive(epochs=epochs)
    report.check_options(settings.train_options, OWN_OPTIONS)

    runs = {
        (network, method): Pretraining(root, out, method, network, None, settings.pretrain_data, settings.train_options)
        for network in networks
        for method in wanted
    }
    data, *others = sorted({its.data for its in runs.values()})
    if others:
        raise InputError(
            f'the configs of {", ".join(networks)} are for different data, {data} and {", ".join(others)}: expected '
            'the same for all networks; give it with --pretrain-data'
        )
    steps, points = [], []
    for (network, method), its in runs.items():
        lengths = _lengths(settings, networks, network, its.config)
        for (epochs, seed), step in its.steps(lengths, seeds[network]).items():
            steps.append(step)
            point = {'network': network, 'method': method, 'epochs': epochs, 'seed': seed}
            points.append({**point, 'result': step.makes[1]})
    sources = {'--pretrain-data': data}
    check_data(out, sources)
    report.check_figure(figure, out, Path(data))
    for point in points:
        if (out / point['result']).exists():
            _read_point(figure, out, point)
    draw = [sys.executable, str(root / 'tools/figures.py'), 'draw', str(out / f'{figure}_plan.json')]
    steps.append(Step(report.files(figure), draw, [point['result'] for point in points]))
    noted = {**asdict(settings), 'networks': networks, 'methods': wanted, 'seeds': seeds}
    return Plan(figure, {**noted, 'data': its.given, 'command': command}, sources, points, steps)


def _lengths(settings: AccuracySettings, networks: Sequence[str], network: str, config: Config) -> list[int]:
    if settings.figure == 'fig3':
        return sorted(set(settings.epochs or [lengthened(config, times) for times in LENGTHS]))
    return [_by_network('--epochs', settings.epochs or [config.train_cfg.max_epochs], networks)[network]]


def _by_network(option: str, values: Sequence[Any], networks: Sequence[str]) -> dict[str, Any]:
    if len(values) not in (1, len(networks)):
        given = ' and '.join(str(value) for value in values)
        raise InputError(f'{option} {given} for {len(networks)} networks: expected one for all, or one for each')
    return {network: values[index % len(values)] for index, network in enumerate(networks)}


def _read_point(figure: str, out: Path, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point of a plan with its measurements, accuracies as fractions."""
    path, again = out / point['result'], report.AGAIN.format(figure=figure)
    result = read_record(path, again)
    missing = report.not_measured(result, ['top1', 'macs', 'params'])
    history = result.get('history')
    if not history or any(report.not_measured(row, ['epoch', 'top1', 'train_eval_top1']) for row in history):
        missing.append('history of train_eval_top1')
    if missing:
        raise InputError(
            f'{path} has no {", ".join(missing)}: expected the result of a pretraining run of this release. Delete '
            f'{path.parent}; then {again}'
        )
    if (result.get('epochs'), result.get('seed')) != (point['epochs'], point['seed']):
        raise InputError(
            f'{path} is of {result.get("epochs")} epochs with seed {result.get("seed")}, not {point["epochs"]} with '
            f'{point["seed"]} as its folder says. Delete {path.parent}; then {again}'
        )
    names = {'accuracy': 'top1', 'train_accuracy': 'train_eval_top1'}
    return {
        **point,
        'arch': result['arch'],
        'macs': result['macs'],
        'params': result['params'],
        'accuracy': result['top1'] / 100,
        'train_accuracy': history[-1]['train_eval_top1'] / 100,
        'history': [
            {'epoch': row['epoch'], **{name: row[key] / 100 for name, key in names.items()}} for row in history
        ],
    }


def draw_accuracy(plan: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Draw the figure of a plan, all of whose other steps are done.

    Args:
        plan: what the plan's JSON holds.
        out: folder of the plan and the figure.

    Returns:
        As :func:`write_accuracy`.

    Raises:
        InputError: a result is missing, damaged or of another version.
    """
    points = [_read_point(plan['figure'], out, point) for point in plan['points']]
    return write_accuracy(plan['figure'], plan['settings'], points, out)


def redraw_accuracy(figure: str, folder: str | Path, out: str | Path) -> dict[str, Any]:
    """Draw a figure again from the JSON that an earlier command left: no training, no Snakemake.

    Args:
        figure: 'fig1', 'fig3' or 'fig4'.
        folder: with the JSON.
        out: folder for the figure, which may be the same.

    Returns:
        As :func:`write_accuracy`.

    Raises:
        InputError: no such file, or one that is damaged or of another version; a figure of other data in ``out``.
    """
    numbers = ['epochs', 'seed', 'macs', 'params', 'accuracy', 'train_accuracy']
    found = report.read_report(figure, folder, ('data', 'networks'), lambda settings: numbers, method=methods())
    settings, points = found['settings'], found['points']
    for point in points:
        if point.get('network') not in settings['networks'] or not (point.get('history') and point.get('arch')):
            again = report.AGAIN.format(figure=figure)
            raise InputError(f'{folder}/{figure}.json has a point without network, arch or history: {point}; {again}')
    report.check_figure(figure, Path(out), Path(settings['data']).resolve())
    return write_accuracy(figure, settings, points, out)


def write_accuracy(
    figure: str, settings: Mapping[str, Any], points: Sequence[dict[str, Any]], out: str | Path
) -> dict[str, Any]:
    """Draw a figure as PNG and SVG, and write its Markdown and JSON.

    Args:
        figure: 'fig1', 'fig3' or 'fig4'.
        settings: with ``networks`` and ``data``; goes to the JSON as it is.
        points: each with ``network``, ``arch``, ``macs``, ``params``, ``method``, ``epochs``, ``seed``, and, as
            fractions, ``accuracy``, ``train_accuracy`` and ``history`` (of both, with ``epoch``).
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
        key=lambda p: (networks.index(p['network']), order.index(p['method']), p['epochs'], p['seed']),
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
        its = [COMPARE[figure](own, method) for method in its_methods if _paired(own, method)]
        comparisons += [{'network': network, **comparison} for comparison in its]
        size = f'{own[0]["arch"]}: {own[0]["macs"] / 1e6:.4g} M MACs, {own[0]["params"] / 1e6:.3g} M parameters'
        series = {_name(method): SERIES[figure](own, method) for method in its_methods}
        lines = [size, *(comparison['text'] for comparison in its)]
        labels = {_name(row['method']): f'{100 * row["difference"]["mean"]:+.2f}' for row in its if figure == 'fig1'}
        panels.append({'measure': 'top-1 accuracy', 'series': series, 'labels': labels, 'lines': lines})
    pictures = [out / f'{figure}.png', out / f'{figure}.svg']
    title, note = f'{TITLES[figure]}, {Path(settings["data"]).name}', _note(figure, points)
    if figure == 'fig1':
        plot_methods(panels, pictures, title, note, 'top-1 accuracy (%)')
    elif figure == 'fig3':
        plot_tradeoff(panels, pictures, title, note, 'epochs of training (logarithmic)')
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
    gaps = [100 * np.mean(_values(points, name, 'gap')) for name in ('baseline', method)]
    text = (
        f'{_name(method)}: {_difference_text(found["train_accuracy"])} in training, '
        f'{_difference_text(found["accuracy"])} in validation; gap {gaps[0]:.1f} to {gaps[1]:.1f}'
    )
    return {'method': method, 'differences': found, 'text': text}


COMPARE = {'fig1': _compare_methods, 'fig3': _compare_lengths, 'fig4': _compare_learning}
SERIES = {'fig1': _values, 'fig3': _by_length, 'fig4': _histories}


def _note(figure: str, points: Sequence[Mapping[str, Any]]) -> str:
    networks = dict.fromkeys(point['network'] for point in points)
    epochs = ', '.join(
        f'{network} {"/".join(str(n) for n in sorted({p["epochs"] for p in points if p["network"] == network}))}'
        for network in networks
    )
    counts = [len({point['seed'] for point in points if point['network'] == network}) for network in networks]
    if figure == 'fig4':
        several = f'Lines: mean over {report.count_seeds(counts)}; bands: their range. '
        bands = several if max(counts) > 1 else 'One seed. '
        return (
            f'{bands}Training accuracy is measured as validation accuracy is: in evaluation mode, on the same training '
            f'images without augmentation. Arrows: training minus validation at the end. Epochs: {epochs}.'
        )
    dots = ' Dots: seeds.' if max(counts) > 1 else ''
    more = {'fig1': f'{dots} Dashed: baseline.', 'fig3': ' An epoch of NetAug has two passes an image.'}
    return f'{report.spread_note(counts)}{more[figure]} Epochs: {epochs}.'


def _markdown(
    figure: str,
    title: str,
    note: str,
    settings: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
) -> str:
    lines = [f'# Figure {figure[3:]}: {title}', '']
    for comparison in comparisons:
        lines += [f'{comparison["network"]}: {comparison["text"]}', '']
    lines += [f'![{title}]({figure}.png)', '', note, '']
    if settings.get('command'):
        lines += [f'`{settings["command"]}`', '']
    lines += ['Top-1 accuracy in percent: mean over seeds, with the sample standard deviation.', '']
    groups: dict[tuple, list] = {}
    for point in points:
        groups.setdefault((point['network'], point['method'], point['epochs']), []).append(point)
    rows = [
        [network, _name(method), epochs]
        + [report.mean_and_spread([p[measure] for p in own]) for measure in ('accuracy', 'train_accuracy', 'gap')]
        + [len(own)]
        for (network, method, epochs), own in groups.items()
    ]
    lines += report.table(['network', 'method', 'epochs', 'validation', 'training', 'gap', 'seeds'], rows)
    lines += ['', 'Differences from the baseline with the same seed, in points, with 95% intervals (Student).', '']
    rows = []
    for network in dict.fromkeys(point['network'] for point in points):
        own = [point for point in points if point['network'] == network]
        for method in dict.fromkeys(point['method'] for point in own):
            if method != 'baseline':
                for row in paired_differences(own, method, 'baseline', 'accuracy', by='epochs'):
                    mean = f'{100 * row["mean"]:+.2f}'
                    interval = report.interval_text(row['interval'])
                    rows.append([network, _name(method), row['epochs'], mean, interval, row['seeds']])
    lines += report.table(['network', 'method', 'epochs', 'difference', '95% interval', 'seeds'], rows)
    lines += ['', 'Every run.', '']
    rows = [
        [point['network'], _name(point['method']), point['epochs'], point['seed']]
        + [f'{100 * point[measure]:.2f}' for measure in ('accuracy', 'train_accuracy')]
        for point in points
    ]
    lines += report.table(['network', 'method', 'epochs', 'seed', 'validation', 'training'], rows)
    return '\n'.join(lines) + '\n'
