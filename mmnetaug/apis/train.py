"""Detectors: from a complete config to a checkpoint and its AP."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmnetaug.apis.anchors import anchor_advice
from mmnetaug.apis.config import complete_test_part, dataset_config
from mmnetaug.apis.image_sizes import image_size, resized_size
from mmnetaug.apis.overrides import check_pretrained
from mmnetaug.datasets.findings import real_paths
from mmnetaug.datasets.objects import Objects, resized_objects
from mmnetaug.datasets.samplers import data_sets
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.hooks.checkpoint_hook import BEST
from mmnetaug.engine.hooks.export_hook import ExportHook, detector_meta
from mmnetaug.engine.hooks.results_hook import CURVES, TABLE
from mmnetaug.engine.runner import bare_model, train_and_validate, training_runner, write_results
from mmnetaug.engine.training_config import check_training
from mmnetaug.errors import InputError, printable
from mmnetaug.evaluation.complexity import count_params
from mmnetaug.evaluation.memory import memory_and_macs
from mmnetaug.models.task_modules.prior_generators import Size, size_text, width_height
from mmnetaug.records import BY_CLASS, numbers, of_one_class
from mmnetaug.trust import check_config

FILES = (  # of a finished run, in the order in which they are named
    *('export.pth', BEST, 'result.json', TABLE, CURVES, 'precision_recall.png', 'confusion_matrix.png'),
    *('train_batch.jpg', 'test_batch.jpg', 'export.safetensors'),
)
NO_MEASURES = ('macs', 'head_share', 'train_seconds', 'latency_ms', 'latency_1_thread_ms', 'nms_share')  # of a result
SHOWN_CLASSES = 20  # in a line of the console
COCO_MEASURES = {  # of ours -> of mmdet's CocoMetric
    **{'AP': 'bbox_mAP', 'AP50': 'bbox_mAP_50', 'AP75': 'bbox_mAP_75'},
    **{'AP_small': 'bbox_mAP_s', 'AP_medium': 'bbox_mAP_m', 'AP_large': 'bbox_mAP_l'},
}


@closing_runs()
def train_detector(config: Config, command: str = '') -> dict[str, Any]:
    """Train and evaluate; checkpoints, logs and ``result.json`` go to ``config.work_dir``.

    Args:
        config: complete, with ``work_dir``.
        command: what to type to do the same again, for the record.

    Returns:
        What ``result.json`` holds: ``AP50_11point``, ``AP50_area``, ``AP`` and ``class_AP50`` (of each class) in VOC
        layout, or ``AP``, ``AP50``, ``AP75``, ``AP_small``, ``AP_medium``, ``AP_large`` (None for a size that no object
        has) and ``class_AP50`` in COCO layout, fractions; MACs, parameters, memory, the recipe, where the checkpoint
        is, and what :func:`~mmnetaug.engine.runner.write_results` says of the training.

    Raises:
        InputError: see :func:`~mmnetaug.engine.training_config.check_training`; nothing to train or to test on, a
            pretrained checkpoint that is missing or does not fit, or a work directory that holds another run.
    """
    check_training(config)
    complete_test_part(config)
    check_pretrained(config)
    size = image_size(config)
    runner = training_runner(config)
    if not any(isinstance(hook, ExportHook) for hook in runner.hooks):
        runner.register_hook(ExportHook())  # so that each checkpoint can be tested as it is
    check_overlap(runner, config.get('allow_overlap', False))
    detector = bare_model(runner)
    cost = describe_detector(detector, size)
    meta = {**detector_meta(runner), 'size': size}
    wanted = config.model.bbox_head.get('num_classes')
    if wanted != len(meta['classes']):
        raise InputError(
            f'model.bbox_head.num_classes is {wanted} and the data has {len(meta["classes"])} classes '
            f'({", ".join(meta["classes"][:5])} ...): expected the same; --data-root DIR sets it'
        )
    try:
        check_config(meta['config'], 'a checkpoint of this config')
    except InputError as error:
        runner.logger.warning(f'Checkpoints of this run work with this config alone (mmnetaug test CONFIG): {error}')
    head, arch = head_name(config.model), meta['arch']
    pretrained = (config.model.backbone.get('init_cfg') or {}).get('checkpoint')
    runner.logger.info(
        f'{head} on {arch} at {_said(config, size)}: {cost["macs"] / 1e6:.1f} M MACs, of them '
        f'{cost["head_share"]:.1%} outside the backbone; {cost["params"] / 1e6:.3f} M parameters; '
        f'in int8 {cost["peak_memory"] / 1024:.0f} KB of activations at the peak ({cost["peak_layer"]}) and '
        f'{cost["weight_bytes"] / 1024:.0f} KB of weights'
    )
    named = ', '.join(meta['classes'][:SHOWN_CLASSES]) + (' ...' if wanted > SHOWN_CLASSES else '')
    runner.logger.info(f'{wanted} classes: {named}. The backbone starts from {pretrained or "random weights"}')
    if advice := anchor_advice(config.model, size, _some_objects(runner), meta['classes']):
        runner.logger.warning(advice)
    metrics = train_and_validate(runner)
    hooks = [hook.type.rpartition('.')[2] for hook in config.get('custom_hooks') or []]
    result = {
        'head': head,
        'arch': arch,
        'size': size,
        'classes': meta['classes'],
        'pretrained': pretrained,
        **measures(metrics),
        **cost,
        'test_images': len(runner.val_dataloader.dataset),
        'mixup': 'DetectionMixupHook' in hooks,
        'data_root': dataset_config(config, 'test_dataloader').get('data_root'),
        'command': command,
        'checkpoint': str(Path(config.work_dir) / 'export.pth'),
        'config': meta['config'],
    }
    result = write_results(runner, result, meta={**meta, **cost})
    for line in _closing_lines(result, Path(config.work_dir)):
        runner.logger.info(line)
    return result


def _closing_lines(result: dict[str, Any], work_dir: Path) -> list[str]:
    """AP50 of each class, lowest first, which epoch was best, and where things are."""
    lines, by_class = [], result.get('class_AP50') or {}
    if by_class:
        ranked = sorted(by_class.items(), key=lambda entry: entry[1])
        shown = ranked if len(ranked) <= SHOWN_CLASSES else ranked[: SHOWN_CLASSES // 2]
        which = 'of each class' if shown == ranked else f'of the {len(shown)} lowest of {len(ranked)} classes'
        lines.append(f'AP50 {which}: ' + ', '.join(f'{name} {value:.3f}' for name, value in shown))
    if best := result['best']:
        lines.append(f'Best: {best["measure"]} {best["value"]:.3f} after epoch {best["epoch"]} ({BEST})')
    there = ', '.join(name for name in FILES if (work_dir / name).is_file())
    return [*lines, f'In {work_dir}: {there}']


def check_overlap(runner: Runner, allowed: bool) -> None:
    """Say what is trained and tested on.

    Raises:
        InputError: images are both, and that is not ``allowed``.
    """
    data = {'Train': set(), 'Test': set()}
    for verb, loader in (('Train', runner.train_dataloader), ('Test', runner.val_dataloader)):
        for dataset in data_sets(loader.dataset):
            source = printable(getattr(dataset, 'ann_file', type(dataset).__name__))
            runner.logger.info(f'{verb}s on {len(dataset)} images: {source}')
            try:
                data[verb] |= _image_paths(dataset)
            except (AttributeError, KeyError, TypeError):
                runner.logger.warning(
                    f'{source} has no img_path of its images: whether images to test on are trained on is not known'
                )
    both = sorted(data['Train'] & data['Test'])
    if both and not allowed:
        raise InputError(
            f'{len(both)} of {len(data["Test"])} images to test on are trained on too, first {printable(both[0])}: '
            'expected others; --allow-overlap if that is meant'
        )


def _image_paths(dataset: Any) -> frozenset[str]:
    if hasattr(dataset, 'image_paths'):  # ours
        return dataset.image_paths
    return frozenset(real_paths(dataset.get_data_info(index)['img_path'] for index in range(len(dataset))))


def _some_objects(runner: Runner, most: int = 300) -> Objects:
    """Objects of at most so many of the images that are trained on, as large as they are in testing."""
    infos = []
    for dataset in data_sets(runner.train_dataloader.dataset):
        if hasattr(dataset, 'get_data_info'):  # not of one's own kind
            places = np.linspace(0, len(dataset) - 1, min(len(dataset), most)).astype(int)
            infos += [dataset.get_data_info(place) for place in places.tolist()]
    infos = [info for info in infos if {'width', 'height', 'instances'} <= info.keys()]
    return resized_objects(infos, *resized_size(runner.cfg))


def describe_detector(detector: nn.Module, size: Size) -> dict[str, Any]:
    """Cost for one image: ``macs``, ``head_share`` (fraction of them outside the backbone), ``params``, and memory as
    in :func:`~mmnetaug.evaluation.memory.describe_memory`."""
    memory, layers = memory_and_macs(detector, size)
    macs = sum(layers.values())
    in_backbone = sum(count for layer, count in layers.items() if layer.split('.')[0] == 'backbone')
    return {'macs': macs, 'head_share': 1 - in_backbone / macs, 'params': count_params(detector), **memory}


def _said(config: Config, size: Size) -> str:
    """Sides of the images in pixels, and what they were padded from."""
    resized, said = resized_size(config), f'{size_text(size)} px'
    return said if resized == width_height(size) else f'{said} (images of {resized[0]}x{resized[1]}, padded)'


def head_name(model: dict[str, Any]) -> str:
    """What kind of detector a configuration is for, by its head: SSDLite, YOLOv3, GFL ..."""
    return model['bbox_head']['type'].rpartition('.')[2].removesuffix('Head')


def measures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Measures of a result out of MMEngine's, fractions; None where COCO's has nothing to measure, such as AP_small
    without small objects, and for NaN, which JSON does not have."""
    metrics = {name: None if math.isnan(value) else value for name, value in numbers(metrics).items()}
    coco = {name: metrics.get(f'coco/{name}', metrics.get(f'coco/{other}')) for name, other in COCO_MEASURES.items()}
    prefix = 'coco/' if any(value is not None for value in coco.values()) else ''
    ours = {name: None if value == -1 else value for name, value in coco.items()} if prefix else {}
    others = {
        name.replace('/', '_'): value
        for name, value in metrics.items()
        if not (prefix and name.startswith(prefix)) and not of_one_class(name)
    }
    return {**ours, **others, **_by_class(metrics, f'{prefix}{BY_CLASS}')}


def _by_class(metrics: dict[str, float], prefix: str) -> dict[str, dict[str, float]]:
    values = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
    return {'class_AP50': values} if values else {}


def other_measures(result: dict[str, Any]) -> dict[str, float]:
    """The first three measures of a result whose metrics give no AP by our names."""
    if any(name.startswith('AP') for name in result):
        return {}
    found = [(name, value) for name, value in result.items() if isinstance(value, float) and name not in NO_MEASURES]
    return dict(found[:3])


def summary(result: dict[str, Any]) -> str:
    """Measured AP (fractions) of a result of a detector or accuracy (percent) of a classifier, else what other metrics
    measured first, and MACs where it has them, in one line."""
    measured = {name: value for name, value in result.items() if name.startswith('AP') and value is not None}
    said = [f'{name} {value:.3f}' for name, value in measured.items()]
    said += [f'top-{k} {result[f"top{k}"]:.2f}%' for k in (1, 5) if f'top{k}' in result]
    said = said or [f'{name} {value:.3f}' for name, value in other_measures(result).items()]
    return ', '.join([*said, *([f'{result["macs"] / 1e6:.1f} M MACs'] if 'macs' in result else [])])
