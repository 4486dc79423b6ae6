"""Figures 1, 3 and 4 of the NetAug paper: what regularisers and NetAug do to the accuracy of tiny and large networks.

And a figure that the paper lacks, accuracy against learning rate. All are made of pretraining runs and share those that
they have in common.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnetaug.apis.config import dataset_config
from mmnetaug.apis.overrides import lengthened
from mmnetaug.config_files import NETWORKS, PAPER, RATES, methods
from mmnetaug.datasets.image_folder import class_folders
from mmnetaug.errors import InputError
from mmnetaug.records import read_record
from mmnetaug.workflow import report
from mmnetaug.workflow.accuracy_report import write_accuracy
from mmnetaug.workflow.graph import Plan, check_data
from mmnetaug.workflow.pretraining import DISTILL, LR, Pretraining

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
        figure: 'fig1', 'fig3', 'fig4' or 'lr'.
        networks: endings of the pretraining configs, such as 'mbv2_tiny' for ``baseline_mbv2_tiny.py``; with
            'mbv2_tiny@0.4' that network's runs have the learning rate 0.4, for the batch size of the config. Exactly
            one in the figure over learning rates.
        methods: of :func:`~mmnetaug.config_files.methods`; always with the baseline.
        epochs: of training, warm-up included: in figure 3 one run for each; in the others one number for all
            networks, or one for each.
        seeds: every method is trained once with each: one list for all networks, or one for each.
        pretrain_data: class folders, with any number of classes. None: the configs'.
        train_options: KEY=VALUE changes of the configs.
        rates: learning rates, for the batch size of the config, in the figure over them.
        teacher: the ``export.pth`` of another run, to distil from it as one method more.
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
    teacher: str | None = None
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
    wanted = [*wanted, *([DISTILL] if settings.teacher else [])]
    if unknown := [method for method in wanted if method not in known]:
        raise InputError(f'no method {unknown[0]}: expected some of {", ".join(known)}')
    wanted = [method for method in known if method in wanted or method == 'baseline']
    for epochs in settings.epochs or ():
        report.check_positive(epochs=epochs)
    weights = [change.split('=')[0] for method in wanted for change in known[method].changes]
    given_rate = [LR] if any(rate for its in rates.values() for rate in its) else []
    report.check_options(settings.train_options, [*OWN_OPTIONS, *weights, *given_rate])

    options = {'data': settings.pretrain_data, 'train_options': settings.train_options, 'teacher': settings.teacher}
    runs = {
        (network, method, rate): Pretraining(root, out, method, network.split('@')[0], lr=rate, **options)
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
    steps, points = [], []
    for (network, method, _), its in runs.items():
        lengths, to_do = _lengths(settings, networks, network, its.config), []
        for (epochs, seed), step in its.steps(lengths, seeds[network]).items():
            point = {'network': network, 'method': method, 'lr': its.lr, 'epochs': epochs, 'seed': seed}
            result, done = step.makes[1], all((out / path).is_file() for path in step.makes)
            if not done and (elsewhere := report.elsewhere(result, settings.finished)):
                result, done = os.path.relpath(elsewhere, out), True
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
    split = Path(data, dataset_config(its.config, 'train_dataloader').split)
    known: dict[str, Any] = {'classes': list(class_folders(split))} if split.is_dir() else {}
    for point in points:
        if report.path_of(out, point['result']).exists():
            _read_point(figure, out, point, known)
    steps.append(report.draw_step(figure, root, out, [point['result'] for point in points], steps))
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
        rates = list(settings.rates or RATES)
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
    # as they are written into commands and names of folders
    return [None] if None in rates else sorted({float(f'{rate:g}') for rate in rates})


def _lengths(settings: AccuracySettings, networks: Sequence[str], network: str, config: Config) -> list[int]:
    if settings.figure == 'fig3':
        return sorted(set(settings.epochs or [lengthened(config, times) for times in LENGTHS]))
    return [_by_network('--epochs', settings.epochs or [config.train_cfg.max_epochs], networks)[network]]


def _by_network(option: str, values: Sequence[Any], networks: Sequence[str]) -> dict[str, Any]:
    if len(values) not in (1, len(networks)):
        given = ' and '.join(str(value) for value in values)
        raise InputError(f'{option} {given} for {len(networks)} networks: expected one for all, or one for each')
    return {network: values[index % len(values)] for index, network in enumerate(networks)}


def _read_point(figure: str, out: Path, point: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """A point of a plan with its measurements, accuracies as fractions; ``data`` is what the others say of theirs."""
    path, again = report.path_of(out, point['result']), report.AGAIN.format(figure=figure)
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
    report.check_same_data(result, path, data)
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
    data: dict[str, Any] = {}
    points = [_read_point(plan['figure'], out, point, data) for point in plan['points']]
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
    found = report.read_report(figure, folder, ('data', 'networks'), lambda *_: numbers, lambda _: methods())
    settings, points = found['settings'], found['points']
    for point in points:
        if point.get('network') not in settings['networks'] or not (point.get('history') and point.get('arch')):
            again = report.AGAIN.format(figure=figure)
            raise InputError(f'{folder}/{figure}.json has a point without network, arch or history: {point}; {again}')
    report.check_figure(figure, Path(out), Path(settings['data']).resolve())
    report.forget_plan(figure, folder, Path(out))
    return write_accuracy(figure, settings, points, out)
