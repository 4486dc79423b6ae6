"""Figures 1, 3 and 4 of the NetAug paper: what regularisers and NetAug do to the accuracy of tiny and large networks.

And a figure that the paper lacks, accuracy against learning rate. All are made of pretraining runs and share those that
they have in common.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmnetaug.apis.overrides import lengthened
from mmnetaug.config_files import NETWORKS, PAPER, RATES, methods
from mmnetaug.errors import InputError
from mmnetaug.evaluation.tradeoff import compare, headline, paired_differences
from mmnetaug.records import read_record
from mmnetaug.visualization import plot_learning, plot_methods, plot_rates, plot_tradeoff
from mmnetaug.workflow import report
from mmnetaug.workflow.graph import Plan, Step, check_data
from mmnetaug.workflow.pretraining import LR, Pretraining

# How figures call methods, where not by their own names.
NAMES = {
    'autoaugment': 'AutoAugment',
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
# What that figure compares: with the baseline, and the two methods with the large gradient with each other.
PAIRS = (
    ('netaug', 'baseline'),
    ('netaug', 'baseline_twice'),
    ('netaug_halved', 'baseline'),
    ('baseline_twice', 'baseline'),
)


@dataclass(frozen=True)
class AccuracySettings:
    """What the user asks for. None takes the default of the figure.

    Attributes:
        figure: 'fig1', 'fig3', 'fig4' or 'lr'.
        networks: endings of the pretraining configs, such as 'mbv2_tiny' for ``baseline_mbv2_tiny.py``; with
            'mbv2_tiny@0.4' that network's runs have the learning rate 0.4, for the batch size of the config. Exactly
            one in the figure over learning rates.
        methods: of :func:`~mmnetaug.workflow.pretraining.methods`; always with the baseline.
        epochs: of training, warm-up included: in figure 3 one run for each; in the others one number for all
            networks, or one for each.
        seeds: every method is trained once with each: one list for all networks, or one for each.
        pretrain_data: class folders, with any number of classes. None: the configs'.
        train_options: KEY=VALUE changes of the configs.
        rates: learning rates, for the batch size of the config, in the figure over them.
        finished: folders with results of runs that have been finished elsewhere, each as ``RUN.json`` or
            ``RUN/result.json`` with the run's name in ``runs`` of a figure's folder. Those are not trained again.
        train: whether to train what is missing; otherwise the figure shows what there is.
    """

    figure: str
    networks: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    epochs: Sequence[int] | None = None
    seeds: Sequence[Sequence[int]] = ((0, 1, 2),)
    pretrain_data: str | None = None
    train_options: Sequence[str] = ()
    rates: Sequence[float] | None = None
    finished: Sequence[str] = ()
    train: bool = True


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
    networks = list(dict.fromkeys(settings.networks or NETWORKS[: 1 if figure in ('fig3', 'lr') else 2]))
    rates = {network: _rates(settings, networks, network) for network in networks}
    seeds = _by_network('--seeds', [report.check_seeds(seeds) for seeds in settings.seeds], networks)
    known = methods()
    wanted = settings.methods or (*(PAPER if figure == 'fig1' else ()), 'netaug')
    if unknown := [method for method in wanted if method not in known]:
        raise InputError(f'no method {unknown[0]}: expected some of {", ".join(known)}')
    wanted = [method for method in known if method in wanted or method == 'baseline']
    for epochs in settings.epochs or ():
        report.check_positive(epochs=epochs)
    weights = [change.split('=')[0] for method in wanted for change in known[method].changes]
    given_rate = [LR] if any(rate for its in rates.values() for rate in its) else []
    report.check_options(settings.train_options, [*OWN_OPTIONS, *weights, *given_rate])

    data_and_options = settings.pretrain_data, settings.train_options
    runs = {
        (network, method, rate): Pretraining(root, out, method, network.split('@')[0], None, *data_and_options, rate)
        for network in networks
        for method in wanted
        for rate in rates[network]
    }
    data, *others = sorted({its.data for its in runs.values()})
    if others:
        raise InputError(
            f'the configs of {", ".join(networks)} are for different data, {data} and {", ".join(others)}: expected '
            'the same for all networks; give it with --pretrain-data'
        )
    steps, points, finished = [], [], {}
    for (network, method, _), its in runs.items():
        lengths, to_do = _lengths(settings, networks, network, its.config), []
        for (epochs, seed), step in its.steps(lengths, seeds[network]).items():
            point = {'network': network, 'method': method, 'lr': its.lr, 'epochs': epochs, 'seed': seed}
            result, done = step.makes[1], all((out / path).is_file() for path in step.makes)
            if not done and (elsewhere := _elsewhere(result, out, settings.finished)):
                result, done = os.path.relpath(elsewhere, out), True
                finished[result] = str(elsewhere)
            elif settings.train and step not in steps:  # NETWORK and NETWORK@LR may be the same
                to_do.append(step)
            if done or settings.train:
                points.append({**point, 'result': result})
        its.check(to_do)
        steps += to_do
    if not points:
        raise InputError(
            f'none of the {len(runs)} runs is finished in {" or ".join(map(str, [out, *settings.finished]))}: leave '
            'out --no-training to train them, or give --finished DIR with their results'
        )
    sources = {'--pretrain-data': data}
    check_data(out, sources)
    report.check_figure(figure, out, Path(data))
    for point in points:
        if _result_path(out, point).exists():
            _read_point(figure, out, point)
    draw = [sys.executable, str(root / 'tools/figures.py'), 'draw', str(out / f'{figure}_plan.json')]
    steps.append(Step(report.files(figure), draw, [finished.get(point['result'], point['result']) for point in points]))
    noted = {**asdict(settings), 'networks': networks, 'methods': wanted, 'seeds': seeds}
    return Plan(figure, {**noted, 'data': its.given, 'command': command}, sources, points, steps)


def _rates(settings: AccuracySettings, networks: Sequence[str], network: str) -> list[float | None]:
    """Learning rates of a network's runs; None: the config's."""
    _, at, text = network.partition('@')
    if settings.figure == 'lr':
        if at or len(networks) > 1:
            raise InputError(
                f'--networks {" ".join(networks)}: expected one network, with the learning rates in --rates'
            )
        rates = sorted(set(settings.rates or RATES))
    else:
        try:
            rates = [float(text) if at else None]
        except ValueError:
            raise InputError(
                f'--networks {network}: expected a learning rate after @, as in {network.split("@")[0]}@0.4'
            ) from None
    for rate in rates:
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(f'learning rate {rate:g}: expected a number above 0')
    return rates


def _elsewhere(result: str, out: Path, folders: Sequence[str]) -> Path | None:
    """The same result in one of the folders with finished runs, absolute."""
    name = Path(result).parent.name
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f'--finished {folder}: no such folder')
        for path in (folder / f'{name}.json', folder / name / 'result.json'):
            if path.is_file():
                return path.resolve()
    return None


def _lengths(settings: AccuracySettings, networks: Sequence[str], network: str, config: Config) -> list[int]:
    if settings.figure == 'fig3':
        return sorted(set(settings.epochs or [lengthened(config, times) for times in LENGTHS]))
    return [_by_network('--epochs', settings.epochs or [config.train_cfg.max_epochs], networks)[network]]


def _by_network(option: str, values: Sequence[Any], networks: Sequence[str]) -> dict[str, Any]:
    if len(values) not in (1, len(networks)):
        given = ' and '.join(str(value) for value in values)
        raise InputError(f'{option} {given} for {len(networks)} networks: expected one for all, or one for each')
    return {network: values[index % len(values)] for index, network in enumerate(networks)}


def _result_path(out: Path, point: Mapping[str, Any]) -> Path:
    return Path(os.path.normpath(out / point['result']))  # out need not be there yet


def _read_point(figure: str, out: Path, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point of a plan with its measurements, accuracies as fractions."""
    path, again = _result_path(out, point), report.AGAIN.format(figure=figure)
    stale = path.parent if path.name == 'result.json' else path
    result = read_record(path, again)
    missing = report.not_measured(result, ['top1', 'macs', 'params'])
    history = result.get('history')
    if not history or any(report.not_measured(row, ['epoch', 'top1', 'train_eval_top1']) for row in history):
        missing.append('history of train_eval_top1')
    if missing:
        raise InputError(
            f'{path} has no {", ".join(missing)}: expected the result of a pretraining run of this release. Delete '
            f'{stale}; then {again}'
        )
    if (result.get('epochs'), result.get('seed')) != (point['epochs'], point['seed']):
        raise InputError(
            f'{path} is of {result.get("epochs")} epochs with seed {result.get("seed")}, not {point["epochs"]} with '
            f'{point["seed"]} as its folder says. Delete {stale}; then {again}'
        )
    trained_at = result.get('recipe', {}).get('optim_wrapper', {}).get('optimizer', {}).get('lr', point['lr'])
    if not math.isclose(trained_at, point['lr']):
        raise InputError(
            f'{path} was trained with the learning rate {trained_at}, not {point["lr"]} as its folder or the config '
            f'says. Delete {stale}; then {again}'
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
        figure: 'fig1', 'fig3', 'fig4' or 'lr'.
        folder: with the JSON.
        out: folder for the figure, which may be the same.

    Returns:
        As :func:`write_accuracy`.

    Raises:
        InputError: no such file, or one that is damaged or of another version; a figure of other data in ``out``.
    """
    numbers = ['epochs', 'seed', 'macs', 'params', 'accuracy', 'train_accuracy', *(['lr'] if figure == 'lr' else [])]
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
        size = f'{own[0]["arch"]}: {own[0]["macs"] / 1e6:.4g} M MACs, {own[0]["params"] / 1e6:.3g} M parameters'
        if figure == 'lr':
            its, panels = _rate_panels(own, its_methods, size)
            comparisons += [{'network': network, **comparison} for comparison in its]
            continue
        its = [COMPARE[figure](own, method) for method in its_methods if _paired(own, method)]
        comparisons += [{'network': network, **comparison} for comparison in its]
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
    gaps = [100 * np.mean(_values(points, name, 'gap')) for name in ('baseline', method)]
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
    means = {
        rate: float(np.mean([p['accuracy'] for p in own if p['lr'] == rate and p['seed'] in (seeds or {p['seed']})]))
        for rate in rates
    }
    best = max(rates, key=means.__getitem__)
    values = [p['accuracy'] for p in own if p['lr'] == best]
    text = f'{_name(method)}: best at {best:g}, {report.mean_and_spread(values)}%'
    factor = rates[1] / rates[0] if len(rates) > 1 else 2
    ends = {'lowest': (rates[0], best / factor), 'highest': (rates[-1], best * factor)}
    missing = {end: further for end, (rate, further) in ends.items() if rate == best}
    if missing:
        text += (
            f', the {" and ".join(missing)} rate: the curve does not turn down there, so add '
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
    more = {
        'fig1': f'{dots} Dashed: baseline.',
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
    lines += report.table(['network', 'method', heading, 'validation', 'training', 'gap', 'seeds'], rows)
    lines += ['', 'Differences with the same seed, in points of validation accuracy, with 95% intervals (Student).', '']
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
    lines += report.table(['network', 'methods', heading, 'difference', '95% interval', 'seeds'], rows)
    lines += ['', 'Every run.', '']
    rows = [
        [point['network'], _name(point['method']), point[varied], point['seed']]
        + [f'{100 * point[measure]:.2f}' for measure in ('accuracy', 'train_accuracy')]
        for point in points
    ]
    lines += report.table(['network', 'method', heading, 'seed', 'validation', 'training'], rows)
    return '\n'.join(lines) + '\n'
