"""Figure 5 of the NetAug paper: AP against MACs of detectors, baseline, baseline with detection mixup, and NetAug."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnetaug.apis.config import merge_cfg_options, read_config
from mmnetaug.apis.overrides import PRETRAIN_CONFIGS, dataset_key, image_size, multi_scale_range, size_options
from mmnetaug.apis.train import head_name
from mmnetaug.archs import get_arch
from mmnetaug.checkpoint import StrictPretrained
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.errors import InputError
from mmnetaug.evaluation.tradeoff import compare, headline
from mmnetaug.models.backbones import TinyNet
from mmnetaug.models.task_modules.prior_generators import check_size
from mmnetaug.records import read_record
from mmnetaug.visualization import plot_tradeoff
from mmnetaug.workflow import report
from mmnetaug.workflow.graph import Plan, Step, check_data, digest
from mmnetaug.workflow.pretraining import Pretraining

# Method, as in configs/det/HEAD_METHOD_LAYOUT.py -> its name in the figure, in the order of drawing.
METHODS = {'baseline': 'baseline', 'baseline_mixup': 'baseline + mixup', 'netaug': 'NetAug'}
# (method, reference) pairs that the figure makes a statement on.
COMPARISONS = (('netaug', 'baseline'), ('baseline_mixup', 'baseline'))
# Layout of the data -> what the panels show: key of a result, and how the figure calls it.
MEASURES = {'voc': {'AP50_area': 'AP50'}, 'coco': {'AP50': 'AP50', 'AP': 'AP'}}
# Values of the configs that have options of their own or tell the methods apart, beside data and sizes.
OWN_OPTIONS = ('model.backbone.arch', 'model.backbone.init_cfg', 'train_cfg.max_epochs', 'custom_hooks', 'randomness')
AGAIN = report.AGAIN.format(figure='fig5')


@dataclass(frozen=True)
class Settings:
    """What the user asks for. None takes what follows from the config.

    Attributes:
        data: folder in VOC, COCO or YOLO layout.
        head: HEAD of the files ``configs/det/HEAD_METHOD_LAYOUT.py``. Where these train on batches of several sizes,
            one model is tested at each of ``sizes``; else one is trained for each.
        arch: of the backbone.
        sizes: sides of the test images in pixels. None: the config's range in steps of 96, or its size and those 64 and
            128 pixels below.
        epochs, batch_size, lr: of fine-tuning, as in ``mmnetaug train``.
        seeds: every method is trained once with each.
        train_size: the nominal size, which a range of training sizes is relative to. None: the smallest whose
            range reaches the largest of ``sizes``.
        train_options: KEY=VALUE changes of the detection configs (``--cfg-options``).
        pretrained: backbones of baseline and NetAug, paths in which ``{seed}`` stands for the seed. None: pretrain.
        pretrain_config: ending of the pretraining configs, such as 'mbv2_tiny'. None: the one for ``arch``.
        pretrain_data: class folders to pretrain on, with any number of classes.
        pretrain_epochs: length of pretraining.
    """

    data: str
    head: str
    arch: str = 'mobilenetv2_w0.35'
    sizes: Sequence[int] | None = None
    epochs: int | None = None
    seeds: Sequence[int] = (0, 1, 2)
    batch_size: int | None = None
    lr: float | None = None
    train_size: int | None = None
    train_options: Sequence[str] = ()
    pretrained: Sequence[str] | None = None
    pretrain_config: str | None = None
    pretrain_data: str | None = None
    pretrain_epochs: int | None = None


def plan_fig5(settings: Settings, root: str | Path, out: str | Path, command: str = '') -> Plan:
    """The runs behind the figure. Everything that can be checked is checked here, before the first of them.

    Names of runs tell what determines them, so that runs with other settings stand beside each other in one folder
    and finished ones are used again.

    Args:
        settings: what to compare.
        root: folder with ``configs`` and ``tools``.
        out: folder of the figure.
        command: what to type to do the same again, for the record.

    Raises:
        InputError: a value out of range; no data, config or checkpoint, or one that does not fit; other data in
            ``out``; results there that are damaged or of another version.
    """
    root, out = Path(root).resolve(), Path(out).resolve()
    seeds = report.check_seeds(settings.seeds)
    arch = get_arch(settings.arch).name
    numbers = ('epochs', 'pretrain_epochs', 'batch_size', 'lr')
    report.check_positive(**{name: getattr(settings, name) for name in numbers})
    if settings.pretrained and (settings.pretrain_config or settings.pretrain_data or settings.pretrain_epochs):
        raise InputError('--pretrained takes trained backbones: give either it or --pretrain-config, -data and -epochs')

    data = Path(settings.data).resolve()
    try:
        found = find_detection_data(data)['layout']
    except InputError as error:
        raise InputError(str(error).replace('--data-root', '--data')) from error
    layout = 'voc' if found == 'yolo' else found  # which has VOC's measures
    configs = _configs(root, settings.head, layout)
    config = read_config(configs['baseline'], 'det')
    several = multi_scale_range(config)
    train_sizes = _train_sizes(settings, config)
    sizes = list(train_sizes)
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    data_roots = [f'{dataset_key(config, loader)}.data_root' for loader in loaders]
    report.check_options(settings.train_options, (*OWN_OPTIONS, *data_roots, *size_options(config, sizes[0])))
    merge_cfg_options(config, settings.train_options)
    epochs = settings.epochs or config.train_cfg.max_epochs

    if settings.pretrained:
        backbones, pretraining, pretrain_data = _given_backbones(settings.pretrained, seeds, arch), [], {}
    else:
        backbones, pretraining, pretrain_data = _pretraining(settings, root, out, seeds, arch)
    sources = {'--data': str(data), **pretrain_data}
    check_data(out, sources)
    report.check_figure('fig5', out, data)
    tag = ''.join(
        f'_{name}{value}' for name, value in [('b', settings.batch_size), ('lr', settings.lr)] if value is not None
    )
    if settings.train_options:
        tag += f'_x{digest(sorted(settings.train_options))}'

    changes = ['--cfg-options', *settings.train_options] if settings.train_options else []
    steps, points = {step.makes[0]: step for step in pretraining}, []
    for method, path in configs.items():
        for seed in seeds:
            backbone, origin = backbones['netaug' if method == 'netaug' else 'baseline', seed]
            for size in sizes:
                train_size = train_sizes[size]
                run = f'{settings.head}_{arch}_{method}_{train_size}px_e{epochs}{tag}_{origin}_seed{seed}'
                export, result = (f'runs/{run}/{name}' for name in ('export.pth', 'result.json'))
                train = [sys.executable, root / 'tools/train.py', path, '--resume', '--work-dir', out / 'runs' / run]
                train += ['--data-root', data, '--pretrained', out / backbone, '--arch', arch]
                train += ['--size', train_size, '--epochs', epochs, '--seed', seed]
                train += [] if settings.batch_size is None else ['--batch-size', settings.batch_size]
                train += [] if settings.lr is None else ['--lr', settings.lr]
                train += changes
                steps[export] = _step([export, result], train, [backbone])
                if several:
                    result = f'runs/{run}/test_{size}.json'
                    test = [sys.executable, root / 'tools/test.py', path, out / export, '--data-root', data]
                    test += ['--size', size, '--out', out / result, '--work-dir', out / 'runs' / run / f'test_{size}']
                    test += changes
                    steps[result] = _step([result], test, [export])
                points.append({'method': method, 'size': size, 'seed': seed, 'result': result})

    draw = [sys.executable, root / 'tools/figures.py', 'draw', out / 'fig5_plan.json']
    steps['draw'] = _step(report.files('fig5'), draw, [point['result'] for point in points])
    for point in points:
        if (out / point['result']).exists():
            _read_point(out, point, layout)
    noted = {**asdict(settings), 'arch': arch, 'sizes': sizes, 'seeds': seeds, 'epochs': epochs}
    noted['head_name'] = head_name(config.model)
    if several:
        noted['train_size'] = train_sizes[sizes[-1]]
    return Plan('fig5', {**noted, 'layout': layout, 'command': command}, sources, points, list(steps.values()))


def _configs(root: Path, head: str, layout: str) -> dict[str, Path]:
    """Method -> its config, of the methods that the head has configs for."""
    paths = {method: root / f'configs/det/{head}_{method}_{layout}.py' for method in METHODS}
    if not paths['baseline'].is_file():
        ending = f'_baseline_{layout}.py'
        heads = sorted(path.name.removesuffix(ending) for path in (root / 'configs/det').glob(f'*{ending}'))
        raise InputError(f'--head {head}: no {paths["baseline"]}; expected one of {", ".join(heads)}')
    return {method: path for method, path in paths.items() if path.is_file()}


def _train_sizes(settings: Settings, config: Config) -> dict[int, int]:
    """Side of the test images -> size that its detector is trained with, in ascending order."""
    own, several = image_size(config), multi_scale_range(config)
    by_config = range(several[0], several[1] + 1, 96) if several else range(own - 128, own + 1, 64)
    sizes = sorted(set(settings.sizes or (size for size in by_config if size >= 96)))
    for size in [*sizes, *([settings.train_size] if settings.train_size else [])]:
        check_size(size)
    if several:
        reaching = (size for size in range(96, sizes[-1], 32) if 32 * round(size * several[1] / own / 32) >= sizes[-1])
        return dict.fromkeys(sizes, settings.train_size or next(reaching, sizes[-1]))
    if settings.train_size:
        raise InputError(
            f'--train-size is for detectors trained on batches of several sizes: one {head_name(config.model)} is '
            'trained for each of --sizes, so leave it out'
        )
    return {size: size for size in sizes}


def _step(makes: list[str], command: list, needs: list[str]) -> Step:
    return Step(makes, [str(part) for part in command], needs)


# Which backbone, 'baseline' or 'netaug', of which seed -> its path, and how names of runs call it.
Backbones = dict[tuple[str, int], tuple[str, str]]


def _given_backbones(patterns: Sequence[str], seeds: Sequence[int], arch: str) -> Backbones:
    if len(patterns) != 2:
        raise InputError(f'--pretrained {" ".join(patterns)}: expected two checkpoints, of baseline and NetAug')
    backbones = {}
    for kind, pattern in zip(('baseline', 'netaug'), patterns):
        for seed in seeds:
            path = Path(pattern.replace('{seed}', str(seed))).resolve()
            if not path.is_file():
                raise InputError(
                    f'no {kind} checkpoint at {path}: expected the export.pth of pretraining with seed {seed}; check '
                    'the path, where {seed} stands for the seed, or leave out --pretrained to have backbones trained'
                )
            StrictPretrained(str(path))(TinyNet(arch))
            backbones[kind, seed] = str(path), f'from-{digest(path.read_bytes())}'
    return backbones


def _pretraining(
    settings: Settings, root: Path, out: Path, seeds: Sequence[int], arch: str
) -> tuple[Backbones, list[Step], dict[str, str]]:
    ending = settings.pretrain_config or PRETRAIN_CONFIGS.get(arch)
    how_else = 'or give trained backbones with --pretrained BASELINE NETAUG'
    if ending is None:
        raise InputError(
            f'no file of configs/pretrain is for {arch}: give --pretrain-config with the ending of one, such as mbv2 '
            f'for baseline_mbv2.py and netaug_mbv2.py, {how_else}'
        )
    backbones, steps = {}, []
    for kind in ('baseline', 'netaug'):
        runs = Pretraining(root, out, kind, ending, arch, settings.pretrain_data)
        epochs = settings.pretrain_epochs or runs.config.train_cfg.max_epochs
        its_steps = runs.steps([epochs], seeds)
        try:
            runs.check(its_steps.values())
        except InputError as error:
            raise InputError(f'{error}, {how_else}') from error
        for (_, seed), step in its_steps.items():
            backbones[kind, seed] = step.makes[0], f'from-{ending}-e{epochs}'
        steps += its_steps.values()
    return backbones, steps, {'--pretrain-data': runs.data}


def _read_point(out: Path, point: Mapping[str, Any], layout: str) -> dict[str, Any]:
    """A point of a plan with its measurements."""
    path = out / point['result']
    result = read_record(path, AGAIN)
    missing = report.not_measured(result, ['macs', 'params', *MEASURES[layout]])
    if missing:
        raise InputError(f'{path} has no {", ".join(missing)}: expected a result on data in {layout} layout; {AGAIN}')
    aps = {name: value for name, value in result.items() if name.startswith('AP')}
    return {
        **{key: point[key] for key in ('method', 'size', 'seed')},
        **{key: result[key] for key in ('macs', 'params')},
        **aps,
        'result': point['result'],
    }


def draw_fig5(plan: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Draw the figure of a plan, all of whose other steps are done.

    Args:
        plan: what the plan's JSON holds.
        out: folder of the plan and the figure.

    Returns:
        As :func:`write_fig5`.

    Raises:
        InputError: a result is missing, damaged or of another version.
    """
    points = [_read_point(out, point, plan['settings']['layout']) for point in plan['points']]
    return write_fig5(plan['settings'], points, out)


def redraw_fig5(folder: str | Path, out: str | Path) -> dict[str, Any]:
    """Draw the figure again from the ``fig5.json`` that an earlier command left: no training, no Snakemake.

    Args:
        folder: with ``fig5.json``.
        out: folder for the figure, which may be the same.

    Returns:
        As :func:`write_fig5`.

    Raises:
        InputError: no such file, or one that is damaged or of another version; a figure of other data in ``out``.
    """
    found = report.read_report(
        'fig5',
        folder,
        ('head_name', 'arch', 'data', 'epochs', 'layout'),
        lambda settings: ['size', 'seed', 'macs', *MEASURES[settings['layout']]],
        method=METHODS,
    )
    report.check_figure('fig5', Path(out), Path(found['settings']['data']).resolve())
    return write_fig5(found['settings'], found['points'], out)


def write_fig5(settings: dict[str, Any], points: Sequence[dict[str, Any]], out: str | Path) -> dict[str, Any]:
    """Draw ``fig5.png`` and ``fig5.svg``, and write ``fig5.md`` and ``fig5.json``.

    Args:
        settings: with ``head_name``, ``arch``, ``data``, ``epochs`` and ``layout``; goes to the JSON as it is.
        points: each with ``method``, ``size``, ``seed``, ``macs`` and AP as fractions.
        out: the folder.

    Returns:
        What ``fig5.json`` holds: ``version``, ``figure``, ``settings``, ``headline``, ``comparisons`` (of
        :func:`~mmnetaug.evaluation.tradeoff.compare`, each with its ``text``) and ``points``.
    """
    out = Path(out)
    order = list(METHODS)
    points = sorted(points, key=lambda point: (order.index(point['method']), point['size'], point['seed']))
    methods = [method for method in METHODS if any(point['method'] == method for point in points)]
    comparisons = []
    for measure, name in MEASURES[settings['layout']].items():
        for method, reference in COMPARISONS:
            if method in methods and reference in methods:
                comparison = compare(points, method, reference, measure)
                comparisons.append({**comparison, 'text': headline(comparison, METHODS, name)})
    panels = [
        {
            'measure': name,
            'series': {
                METHODS[method]: [
                    (macs / 1e6, f'{size} px', aps) for macs, size, aps in _series(points, method, measure)
                ]
                for method in methods
            },
            'lines': [comparison['text'] for comparison in comparisons if comparison['measure'] == measure],
        }
        for measure, name in MEASURES[settings['layout']].items()
    ]
    pictures = [out / 'fig5.png', out / 'fig5.svg']
    xlabel = 'MACs of the detector (million, logarithmic) at each image size'
    plot_tradeoff(panels, pictures, _title(settings), _note(points, settings), xlabel)
    markdown = _markdown(settings, points, comparisons, methods)
    return report.write_report('fig5', out, settings, comparisons, points, markdown)


def _title(settings: Mapping[str, Any]) -> str:
    return f'{settings["head_name"]} on {settings["arch"]}, {Path(settings["data"]).name}'


def _note(points: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    seeds = len({point['seed'] for point in points})
    area = ' AP50 is the area under the curve (VOC since 2010).' if settings['layout'] == 'voc' else ''
    return (
        f'{report.spread_note([seeds])}{area} At one image size all methods cost the same MACs; their markers are set '
        f'apart sideways to be seen. Epochs of fine-tuning: {settings["epochs"]}.'
    )


def _series(points: Sequence[Mapping[str, Any]], method: str, measure: str) -> list[tuple[float, int, list[float]]]:
    sizes: dict[int, list] = {}
    for point in points:
        if point['method'] == method:
            sizes.setdefault(point['size'], []).append(point)
    return [(its[0]['macs'], size, [point[measure] for point in its]) for size, its in sorted(sizes.items())]


def _markdown(
    settings: Mapping[str, Any], points: Sequence[dict], comparisons: Sequence[dict], methods: Sequence[str]
) -> str:
    measures = MEASURES[settings['layout']]
    names = [f'{name} (%)' for name in measures.values()]
    lines = [f'# Figure 5: {_title(settings)}', '']
    for comparison in comparisons:
        lines += [comparison['text'], '']
    lines += ['![AP against MACs](fig5.png)', '', _note(points, settings), '']
    if settings.get('command'):
        lines += [f'`{settings["command"]}`', '']
    lines += ['Mean over seeds, with the sample standard deviation.', '']
    rows = []
    for method in methods:
        by_measure = [_series(points, method, measure) for measure in measures]
        for entries in zip(*by_measure):
            macs, size, aps = entries[0]
            means = [report.mean_and_spread(values) for _, _, values in entries]
            rows.append([METHODS[method], size, f'{macs / 1e6:.2f}', *means, len(aps)])
    lines += report.table(['method', 'size (px)', 'MACs (M)', *names, 'seeds'], rows)
    rows = [
        [f'{METHODS[comparison["method"]]} - {METHODS[comparison["reference"]]}', row['size']]
        + [measures[comparison['measure']], f'{100 * row["mean"]:+.2f}']
        + [report.interval_text(row['interval']), row['seeds']]
        for comparison in comparisons
        for row in comparison['differences']
    ]
    if rows:
        lines += ['', 'Differences between runs with the same seed, in points, with 95% intervals (Student).', '']
        lines += report.table(['difference', 'size (px)', 'of', 'mean', '95% interval', 'seeds'], rows)
    lines += ['', 'Every point.', '']
    rows = [
        [METHODS[point['method']], point['size'], point['seed'], f'{point["macs"] / 1e6:.2f}']
        + [f'{100 * point[measure]:.2f}' for measure in measures]
        for point in points
    ]
    lines += report.table(['method', 'size (px)', 'seed', 'MACs (M)', *names], rows)
    return '\n'.join(lines) + '\n'
