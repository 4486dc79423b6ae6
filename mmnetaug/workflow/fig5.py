"""Figure 5 of the NetAug paper: AP against MACs of detectors, baseline, baseline with detection mixup, and NetAug.

Beside them lines from other starting weights, and on request AP in int8 against peak memory.
"""

import copy
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnetaug.apis.config import dataset_key, loaders, merge_cfg_options, read_config
from mmnetaug.apis.image_sizes import image_size, multi_scale_range, size_options
from mmnetaug.apis.overrides import PRETRAIN_CONFIGS
from mmnetaug.apis.train import head_name
from mmnetaug.apis.weights import imagenet_address
from mmnetaug.archs import get_arch
from mmnetaug.checkpoint import StrictPretrained
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.engine.work_dir import flat
from mmnetaug.errors import InputError
from mmnetaug.extras import need
from mmnetaug.models.backbones import TinyNet
from mmnetaug.models.task_modules.prior_generators import check_size
from mmnetaug.records import read_record
from mmnetaug.workflow import report
from mmnetaug.workflow.detectors import WEIGHTS, Detectors, Line
from mmnetaug.workflow.fig5_report import MEASURES, METHODS, PICTURES, write_fig5
from mmnetaug.workflow.graph import Plan, Step, check_data, digest
from mmnetaug.workflow.pretraining import Pretraining

RESULTS = ('result', 'int8')  # paths in a point: of the trained detector, and of the exported one
# Values of the configs that have options of their own or tell the methods apart, beside data and sizes.
OWN_OPTIONS = ('model.backbone.arch', 'model.backbone.init_cfg', 'train_cfg.max_epochs', 'custom_hooks', 'randomness')
# What may differ between the networks of detectors in one figure, and what follows from their data.
OF_BACKBONES = r'^model\.(backbone|data_preprocessor\.(mean|std|bgr_to_rgb))\b|\b(init_cfg|num_classes)\b'
AGAIN = report.AGAIN.format(figure='fig5')


@dataclass(frozen=True)
class Settings:
    """What the user asks for. None takes what follows from the config.

    Attributes:
        data: folder in VOC, COCO or YOLO layout.
        head: HEAD of the files ``configs/det/HEAD_METHOD_LAYOUT.py``. Where these train on batches of several sizes,
            one model is tested at each of ``sizes``; else one is trained for each.
        arch: of the backbone.
        classes: only these. None: all.
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
        also: further lines, NAME=PRETRAINED: the baseline's recipe from other weights, 'none' (random ones), 'imagenet'
            or a checkpoint in whose path ``{seed}`` stands for the seed.
        int8: also export each detector as ONNX in int8, and show its AP against peak memory.
        finished: folders with results of runs that have been finished elsewhere, each as ``RUN.json`` (and
            ``RUN.int8.json``) or ``RUN/result.json`` (and ``RUN/int8.json``).
        train: whether to train what is missing; otherwise the figure shows what there is.
    """

    data: str
    head: str
    arch: str = 'mobilenetv2_w0.35'
    classes: Sequence[str] | None = None
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
    also: Sequence[str] = ()
    int8: bool = False
    finished: Sequence[str] = ()
    train: bool = True


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
        found = find_detection_data(data, settings.classes)
    except InputError as error:
        raise InputError(str(error).replace('--data-root', '--data')) from error
    layout = 'voc' if found['layout'] == 'yolo' else found['layout']  # which has VOC's measures
    configs = _configs(root, settings.head, layout)
    config = read_config(configs['baseline'], 'det')
    several = multi_scale_range(config)
    train_sizes = _train_sizes(settings, config)
    sizes = list(train_sizes)
    data_roots = [f'{dataset_key(config, loader)}.data_root' for loader in loaders(config)]
    report.check_options(settings.train_options, (*OWN_OPTIONS, *data_roots, *size_options(config, sizes[0])))
    merge_cfg_options(config, settings.train_options)

    if settings.int8:
        if several:
            raise InputError('--int8 exports detectors at the one size that they are trained with: leave it out here')
        if settings.train:
            need('onnx', 'onnxscript', 'onnxruntime')

    further = [_further_line(text, seeds, arch, sizes) for text in settings.also]
    if settings.pretrained:
        backbones, pretraining, pretrain_data = _given_backbones(settings.pretrained, seeds, arch), [], {}
    else:
        backbones, pretraining, pretrain_data = _pretraining(settings, root, out, seeds, arch)
    lines = {
        method: Line(METHODS[method], method, backbones['netaug' if method == 'netaug' else 'baseline'])
        for method in configs
    }
    for line in further:
        if line.name.casefold() in {name.casefold() for each in lines for name in (each, lines[each].name)}:
            raise InputError(f'--also {line.name}=...: the figure has a line of that name; give another')
        lines[line.name] = line
    sources = {'--data': str(data), **pretrain_data}
    check_data(out, sources)
    report.check_figure('fig5', out, data)
    detectors = Detectors(settings, root, out, config, data)
    steps, points = {step.makes[0]: step for step in pretraining}, []
    for method, line in lines.items():
        for seed in seeds:
            for size, train_size in train_sizes.items():
                results, its_steps = detectors.steps(configs[line.recipe], line, seed, size, train_size)
                done = {key: report.elsewhere(path, settings.finished) for key, path in results.items()}
                there = {key: (out / path).is_file() for key, path in results.items()}
                if (all(done.values()) or not settings.train) and not all(there.values()):
                    results = {
                        key: os.path.relpath(done[key], out) if done[key] and not there[key] else path
                        for key, path in results.items()
                    }
                else:
                    steps.update((step.makes[0], step) for step in its_steps)
                points.append({'method': method, 'size': size, 'seed': seed, **results})

    there = [_there(out, point) for point in points]
    there = [point for point in there if 'result' in point]
    known = {'classes': list(found['classes'])}
    if settings.train and not several:
        for size in sizes:
            sized = copy.deepcopy(config)
            sized.merge_from_dict(size_options(config, size))
            _check_recipe(sized, configs['baseline'], size, known)
    for point in there:
        _read_point(out, point, layout, known)
    if not settings.train:
        steps, points = {}, there
        if not points:
            where = ' or '.join(map(str, [out, *settings.finished]))
            raise InputError(
                f'no run is finished in {where}: leave out --no-training, or give --finished DIR with results'
            )
    needs = [point[key] for point in points for key in RESULTS if key in point]
    pictures = [f'fig5_memory.{ending}' for ending in ('png', 'svg') if any('int8' in point for point in points)]
    steps['draw'] = report.draw_step('fig5', root, out, needs, list(steps.values()), pictures)
    noted = {**asdict(settings), 'arch': arch, 'sizes': sizes, 'seeds': seeds, 'epochs': detectors.epochs}
    noted['head_name'] = head_name(config.model)
    noted['names'] = {method: line.name for method, line in lines.items()}
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


# 'baseline' or 'netaug' -> seed -> path of its backbone, and how names of runs call it.
Backbones = dict[str, dict[int, tuple[str, str]]]


def _given_backbones(patterns: Sequence[str], seeds: Sequence[int], arch: str) -> Backbones:
    if len(patterns) != 2:
        raise InputError(f'--pretrained {" ".join(patterns)}: expected two checkpoints, of baseline and NetAug')
    how_else = 'or leave out --pretrained to have backbones trained'
    return {
        kind: _checkpoints(kind, pattern, seeds, arch, how_else)
        for kind, pattern in zip(('baseline', 'netaug'), patterns)
    }


def _checkpoints(kind: str, pattern: str, seeds: Sequence[int], arch: str, how_else: str) -> dict[int, tuple[str, str]]:
    backbones = {}
    for seed in seeds:
        if '{seed}' not in pattern and backbones:
            backbones[seed] = backbones[seeds[0]]
            continue
        path = Path(pattern.replace('{seed}', str(seed))).resolve()
        if not path.is_file():
            raise InputError(
                f'no {kind} checkpoint at {path}: expected the export.pth of pretraining with seed {seed}; check '
                f'the path, where {{seed}} stands for the seed, {how_else}'
            )
        StrictPretrained(str(path))(TinyNet(arch))
        backbones[seed] = str(path), f'from-{digest(path.read_bytes())}'
    return backbones


def _further_line(text: str, seeds: Sequence[int], arch: str, sizes: Sequence[int]) -> Line:
    name, _, weights = (part.strip() for part in text.partition('='))
    if not (name and weights):
        raise InputError(f"--also {text}: expected NAME=PRETRAINED, such as 'random start=none'")
    if not re.fullmatch(r'\w[\w .,:;()+&%/-]*', name) or name.startswith('_'):
        raise InputError(f'--also {text}: expected a name of letters, digits and spaces')
    if weights.casefold() == 'none':
        weights = 'none'
    if weights == 'imagenet':
        for size in sizes:
            imagenet_address(arch, size)
    if weights in WEIGHTS:
        return Line(name, 'baseline', dict.fromkeys(seeds, (weights, f'from-{weights}')))
    how_else = f'or give one of {", ".join(WEIGHTS)}'
    return Line(name, 'baseline', _checkpoints(name, weights, seeds, arch, how_else))


def _pretraining(
    settings: Settings, root: Path, out: Path, seeds: Sequence[int], arch: str
) -> tuple[Backbones, list[Step], dict[str, str]]:
    ending = settings.pretrain_config or PRETRAIN_CONFIGS.get(arch)
    how_else = 'or give trained backbones with --pretrained BASELINE NETAUG'
    if ending is None:
        raise InputError(
            f'no pretraining is known here for {arch}: give --pretrain-config with the ending of one, such as mbv2 '
            f'for baseline_mbv2.py and netaug_mbv2.py, {how_else}'
        )
    backbones, steps = {}, []
    for kind in ('baseline', 'netaug'):
        runs = Pretraining(root, out, kind, ending, arch, settings.pretrain_data)
        epochs = settings.pretrain_epochs or runs.config.train_cfg.max_epochs
        its_steps = runs.steps([epochs], seeds)
        try:
            if settings.train:
                runs.check(its_steps.values())
        except InputError as error:
            raise InputError(f'{error}, {how_else}') from error
        for (_, seed), step in its_steps.items():
            backbones.setdefault(kind, {})[seed] = step.makes[0], f'from-{ending}-e{epochs}'
        steps += its_steps.values()
    return backbones, steps, {'--pretrain-data': runs.data}


def _there(out: Path, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point with those of its results that there are."""
    return {key: value for key, value in point.items() if key not in RESULTS or report.path_of(out, value).exists()}


def _read_point(out: Path, point: Mapping[str, Any], layout: str, data: dict[str, Any]) -> dict[str, Any]:
    """A point of a plan with its measurements; ``data`` is what the others say of theirs."""
    path = report.path_of(out, point['result'])
    result = _read_result(path, layout, None, ['macs', 'params'])
    report.check_same_data(result, path, data)
    if 'config' in result:
        _check_recipe(result['config'], path, point['size'], data)
    read = {key: point[key] for key in ('method', 'size', 'seed')}
    read |= {key: result[key] for key in ('macs', 'params', 'peak_memory') if key in result} | _aps(result)
    if 'int8' in point:
        exported = _aps(_read_result(report.path_of(out, point['int8']), layout, 'after', []))
        read |= {PICTURES['fig5_memory'].before + name: value for name, value in exported.items()}
    return {**read, 'result': point['result']}


def _check_recipe(config: Mapping[str, Any], path: Path, size: int, known: dict[Any, Any]) -> None:
    """Do not draw detectors of one size that differ in more than their backbones, such as those of an earlier release.

    Raises:
        InputError: other values of the network than ``known``, which takes them up where they are the first.
    """
    recipe = json.loads(json.dumps(flat('model', config['model'])))
    recipe = {name: value for name, value in recipe.items() if not re.search(OF_BACKBONES, name)}
    first, others = known.setdefault(('recipe', size), (path, recipe))
    changed = [name for name in {**others, **recipe} if others.get(name) != recipe.get(name)]
    if changed:
        theirs, ours = (', '.join(f'{name} {each.get(name)}' for name in changed[:3]) for each in (recipe, others))
        raise InputError(
            f'{path} has {theirs}, and {first} {ours}: expected detectors that differ in their backbones alone. Give '
            'another --out, without --finished, to train all anew, or --no-training to draw what is there'
        )


def _aps(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in result.items() if name.startswith('AP')}


def _read_result(path: Path, layout: str, part: str | None, numbers: Sequence[str]) -> dict[str, Any]:
    """A result, or a part of it, with an AP and these numbers."""
    result = read_record(path, AGAIN)
    result = result if part is None else result.get(part, {})
    missing = report.not_measured(result, [*numbers, next(iter(MEASURES[layout]))])
    if missing:
        raise InputError(f'{path} has no {", ".join(missing)}: expected a result on data in {layout} layout; {AGAIN}')
    return result


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
    data: dict[str, Any] = {}
    points = [_read_point(out, point, plan['settings']['layout'], data) for point in plan['points']]
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
    keys = ('head_name', 'arch', 'data', 'epochs', 'layout')
    found = report.read_report('fig5', folder, keys, _numbers, lambda settings: dict(settings.get('names', METHODS)))
    report.check_figure('fig5', Path(out), Path(found['settings']['data']).resolve())
    report.forget_plan('fig5', folder, Path(out))
    return write_fig5(found['settings'], found['points'], out)


def _numbers(settings: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """What must be numbers in a point, of a figure of any release."""
    aps = [f'{picture.before}{measure}' for picture in PICTURES.values() for measure in MEASURES[settings['layout']]]
    return ['size', 'seed', 'macs', aps[0], *(key for key in ('peak_memory', *aps[1:]) if key in point)]
