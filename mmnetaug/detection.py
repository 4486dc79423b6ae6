"""Detectors: from a config and a folder of images to a checkpoint, its AP, and pictures with boxes."""

import warnings
from pathlib import Path
from typing import Any, Optional, Union

from mmdet.models.detectors import SingleStageDetector
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn

from mmnetaug.checkpoint import read_checkpoint
from mmnetaug.datasets.detection import Findings, find_detection_data, image_size
from mmnetaug.datasets.image_folder import IMAGE_SUFFIXES
from mmnetaug.engine.cpu import prepare_cpu
from mmnetaug.engine.runtime import add_hook, bare_model, fill_in_run, train_and_validate, training_runner, write_result
from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.models.archs import get_arch
from mmnetaug.models.ssdlite import check_size
from mmnetaug.registry import MODELS

# Architecture -> ending of its files in configs/pretrain.
PRETRAIN_CONFIGS = {
    'mobilenetv2_tiny': 'mbv2_tiny',
    'mobilenetv2_w0.35': 'mbv2',
    'mobilenetv3_w0.35': 'mbv3',
    'proxylessnas_w0.35': 'proxyless',
    'mcunet': 'mcunet',
}
# What export.pth says of its detector.
EXPORTED = ('arch', 'size', 'classes', 'macs', 'params', 'seed', 'epochs', 'model', 'pipeline', 'dataset_meta')
DATASETS = {'voc': 'mmnetaug.VOCDetection', 'coco': 'mmnetaug.COCODetection'}
# Name of a metric in result.json -> its key in MMEngine's logs.
METRICS = {
    'voc': {'AP50_11point': 'voc_11point/mAP', 'AP50_area': 'voc_area/mAP'},
    'coco': {name: f'coco/{name}' for name in ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large')},
}


def pretrained_path(pretrained: Optional[str], arch: str) -> Optional[str]:
    """The checkpoint that a detector's backbone starts from.

    Args:
        pretrained: 'netaug' or 'baseline' for what ``tools/pretrain_cls.py`` makes of that config for ``arch``, a
            path, or None (or 'none') for random weights.
        arch: the architecture.

    Raises:
        InputError: the file is not there, or no pretraining config is for this architecture.
    """
    if pretrained in (None, 'none', 'None'):
        return None
    how_else = 'or give --pretrained PATH, or --pretrained none to train from random weights'
    if pretrained not in ('netaug', 'baseline'):
        if not Path(pretrained).is_file():
            raise InputError(f'no pretrained checkpoint at {pretrained}: check the path, {how_else}')
        return pretrained
    if arch not in PRETRAIN_CONFIGS:
        raise InputError(
            f'no file of configs/pretrain is for {arch}: expected one of {", ".join(PRETRAIN_CONFIGS)}, {how_else}'
        )
    name = f'{pretrained}_{PRETRAIN_CONFIGS[arch]}'
    path = Path('work_dirs') / name / 'export.pth'
    if not path.is_file():
        raise InputError(
            f'no pretrained checkpoint at {path}: make it with\n'
            f'    python tools/pretrain_cls.py configs/pretrain/{name}.py --data-root FOLDER\n{how_else}'
        )
    return str(path)


def detection_config(config: Config) -> Config:
    """Fill in what follows from the top-level values of a detection config.

    ``arch``, ``size`` and ``pretrained`` go to the model, ``size`` to the transforms, ``data_root`` and ``classes`` to
    data sets and evaluators, ``epochs`` and ``warmup_epochs`` to the schedule. ``multi_scale``, a range relative to
    ``size``, makes batches of several sizes; ``mixup`` adds detection mixup.

    Raises:
        InputError: a value out of range, or a data set or a checkpoint that is not there or does not fit.
    """
    fill_in_run(config)
    check_size(config.size)
    config.arch = get_arch(config.arch).name
    data = find_detection_data(config.data_root, config.classes)
    checkpoint = pretrained_path(config.pretrained, config.arch)
    config.classes = data['classes']
    config.model.backbone.arch = config.arch
    if checkpoint:
        config.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': checkpoint}
    config.model.size = config.size
    config.model.num_classes = len(config.classes)
    largest = _add_multi_scale(config) if config.get('multi_scale') else config.size
    for loader, arguments, size in [
        (config.train_dataloader, data['train'], largest),
        (config.val_dataloader, data['test'], config.size),
    ]:
        loader.dataset.update(type=DATASETS[data['layout']], metainfo={'classes': config.classes}, **arguments)
        for transform in loader.dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale = (size, size)
    if config.mixup:
        _add_mixup(config)
    config.val_evaluator = evaluators(data)
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.layout = data['layout']
    return config


def _add_multi_scale(config: Config) -> int:
    """Have batches resized to multiples of 32 within the range; returns the largest, which images come in."""
    smallest, largest = (max(96, 32 * round(config.size * factor / 32)) for factor in config.multi_scale)
    config.model.data_preprocessor.batch_augments = [
        {'type': 'mmdet.BatchSyncRandomResize', 'random_size_range': (smallest, largest), 'size_divisor': 32}
    ]
    return largest


def _add_mixup(config: Config) -> None:
    """Mix images after loading, carry the weights of their boxes to the head, and stop in time."""
    dataset = config.train_dataloader.dataset
    load, annotations, *augmentation, pack = dataset.pipeline
    dataset.pipeline = [load, annotations]
    config.train_dataloader.dataset = {
        'type': 'mmdet.MultiImageMixDataset',
        'dataset': dataset,
        'pipeline': [
            {'type': 'mmnetaug.DetectionMixup'},
            {'type': 'mmnetaug.KeepWeights', 'transforms': augmentation},
            {**pack, 'type': 'mmnetaug.PackWeightedDetInputs'},
        ],
    }
    add_hook(config, type='mmnetaug.MixupSwitchHook')


def evaluators(data: dict) -> list[dict]:
    """The measures for a data set of :func:`~mmnetaug.datasets.detection.find_detection_data`.

    VOC layout: average precision at IoU 0.5 by 11 points of recall (VOC2007) and by the area under the curve (since
    VOC2010). COCO layout: pycocotools' average precision over IoU 0.5 to 0.95, at 0.5, at 0.75, and by size.
    """
    if data['layout'] == 'coco':
        return [{'type': 'mmnetaug.COCOAveragePrecision', 'ann_file': data['test']['ann_file']}]
    return [
        {'type': 'mmdet.VOCMetric', 'eval_mode': mode, 'prefix': prefix}
        for mode, prefix in [('11points', 'voc_11point'), ('area', 'voc_area')]
    ]


def describe_detector(detector: nn.Module, size: int) -> dict[str, Any]:
    """Cost for one image: ``macs``, ``head_share`` (fraction of them outside the backbone) and ``params``."""
    shape = (3, size, size)
    macs = count_macs(detector, shape)
    return {
        'macs': macs,
        'head_share': 1 - count_macs(detector.backbone, shape) / macs,
        'params': count_params(detector),
    }


def train_detector(config: Config, command: str = '') -> dict[str, Any]:
    """Train and evaluate; checkpoints, logs and ``result.json`` go to ``config.work_dir``.

    Args:
        config: of :func:`detection_config`, with ``work_dir``.
        command: what to type to do the same again, for the record.

    Returns:
        What ``result.json`` holds: ``AP50_11point`` and ``AP50_area`` (VOC layout) or ``AP``, ``AP50``, ``AP75``,
        ``AP_small``, ``AP_medium`` and ``AP_large`` (COCO; None for a size that no object has), fractions; MACs,
        parameters, the recipe, and where the checkpoint is.

    Raises:
        InputError: nothing to train or to test on, a pretrained checkpoint that does not fit, or a work directory
            that holds another run.
    """
    runner = training_runner(config)
    cost = describe_detector(bare_model(runner), config.size)
    runner.logger.info(
        f'{config.arch} with {_head(config.model)} at {config.size} px: {cost["macs"] / 1e6:.1f} M MACs, of them '
        f'{cost["head_share"]:.1%} outside the backbone; {cost["params"] / 1e6:.3f} M parameters; '
        f'{len(config.classes)} classes: {", ".join(config.classes)}'
    )
    metrics = train_and_validate(runner)
    model = config.model.to_dict()
    model['backbone'].pop('init_cfg', None)
    result = {
        'head': _head(config.model),
        'arch': config.arch,
        'size': config.size,
        'classes': list(config.classes),
        'pretrained': config.model.backbone.get('init_cfg', {}).get('checkpoint'),
        **_named(metrics, config.layout),
        **cost,
        'train_images': len(runner.train_dataloader.dataset),
        'test_images': len(runner.val_dataloader.dataset),
        'epochs': config.epochs,
        'batch_size': config.train_dataloader.batch_size,
        'mixup': config.mixup,
        'seed': runner.seed,
        'command': command,
        'checkpoint': str(Path(config.work_dir) / 'export.pth'),
        'model': model,
        'pipeline': config.val_dataloader.dataset.to_dict()['pipeline'],
        'dataset_meta': {'classes': list(config.classes)},  # where mmdet looks for it
    }
    return write_result(config, result, bare_model(runner), EXPORTED)


def test_detector(config: Config, checkpoint: Union[str, Path], size: Optional[int] = None) -> dict[str, Any]:
    """Evaluate a checkpoint of :func:`train_detector`; it brings its own network, image size and classes.

    Args:
        config: a detection config; its ``data_root``, loaders and ``work_dir`` are used.
        checkpoint: path of the checkpoint.
        size: side of the images in pixels, where it is another one than in training. YOLOv3 alone can do that.

    Returns:
        AP as in :func:`train_detector`, MACs and parameters, and ``head``, ``arch``, ``size`` and ``seed``.

    Raises:
        InputError: no detector in the checkpoint, one that has no other size, or the data set has other classes.
    """
    trained = detector_meta(checkpoint)
    size = trained['size'] if size is None else size
    if size != trained['size'] and _head(trained['model']) == 'SSDLite':
        raise InputError(
            f'{checkpoint} is an SSDLite for {trained["size"]} px, which has anchors and levels for no other size: '
            f'leave out --size, or train one with --size {size}'
        )
    config.merge_from_dict({'arch': trained['arch'], 'classes': trained['classes'], 'size': size, 'pretrained': None})
    config = detection_config(config)
    if list(config.classes) != trained['classes']:
        raise InputError(
            f'{checkpoint} was trained on the classes {", ".join(trained["classes"])} in this order, '
            f'{config.data_root} has {", ".join(config.classes)}: expected the same order'
        )
    config.model = trained['model']
    prepare_cpu(config)
    runner = Runner.from_cfg(config)
    _load(bare_model(runner), checkpoint)
    return {
        'head': _head(trained['model']),
        'arch': trained['arch'],
        'size': size,
        'seed': trained['seed'],
        **_named(runner.test(), config.layout),
        **describe_detector(bare_model(runner), size),
    }


def summary(result: dict[str, Any]) -> str:
    """Measured AP (fractions) and MACs of a result of :func:`train_detector` or :func:`test_detector`, in one line."""
    measured = {name: value for name, value in result.items() if name.startswith('AP') and value is not None}
    scores = ', '.join(f'{name} {value:.3f}' for name, value in measured.items())
    return f'{scores}, {result["macs"] / 1e6:.1f} M MACs'


def detector_meta(checkpoint: Union[str, Path]) -> dict[str, Any]:
    """What an ``export.pth`` of :func:`train_detector` says of its detector: plain data, no code.

    Raises:
        InputError: the file cannot be read, or is no such export.
    """
    meta = read_checkpoint(checkpoint).get('meta', {})
    if not set(EXPORTED) <= set(meta):
        raise InputError(f'{checkpoint} holds no detector: expected the export.pth that tools/train.py wrote')
    return dict(meta)


def build_detector(checkpoint: Union[str, Path]) -> SingleStageDetector:
    """The detector in an ``export.pth`` of :func:`train_detector`, on the CPU, in evaluation mode.

    Raises:
        InputError: no detector in the checkpoint, or tensors that do not fit.
    """
    detector = MODELS.build(ConfigDict(detector_meta(checkpoint)['model']))
    _load(detector, checkpoint)
    return detector.eval()


def _load(detector: nn.Module, checkpoint: Union[str, Path]) -> None:
    try:
        detector.load_state_dict(read_checkpoint(checkpoint)['state_dict'])
    except RuntimeError as error:
        raise InputError(f'{checkpoint} does not fit the network of its own meta: {error}') from error


def infer(
    images: Union[str, Path], checkpoint: Union[str, Path], out_dir: Union[str, Path], score_thr: float = 0.3
) -> list[Path]:
    """Draw the objects that a detector finds, with class and score.

    Args:
        images: an image or a folder of images.
        checkpoint: of :func:`train_detector`; it needs nothing else.
        out_dir: the pictures go to ``vis`` in it.
        score_thr: least score of a box that is drawn, from 0 to 1.

    Returns:
        The pictures.

    Raises:
        InputError: no image there, or no detector in the checkpoint.
    """
    from mmdet.apis import DetInferencer

    meta = detector_meta(checkpoint)
    config = Config(
        {
            'default_scope': 'mmdet',
            'model': meta['model'],
            'test_dataloader': {'dataset': {'pipeline': meta['pipeline']}},
            'visualizer': {'type': 'DetLocalVisualizer'},
        }
    )
    images = Path(images)
    if not images.exists():
        raise InputError(f'no image or folder at {images}')
    if not 0 <= score_thr <= 1:
        raise InputError(f'score threshold {score_thr}: expected a number from 0 to 1')
    paths = [images] if images.is_file() else sorted(p for p in images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    findings, usable = Findings(), []
    for path in paths:
        if image_size(path, decode=True) is None:
            findings.add('files that are no images left out', path.name)
        else:
            usable.append(str(path))
    findings.report(str(images))
    if not usable:
        raise InputError(f'no image in {images}: expected {", ".join(sorted(IMAGE_SUFFIXES))} files')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of log files that it does without and boxes at the border
        inferencer = DetInferencer(config, weights=str(checkpoint), palette='coco', show_progress=False)
        inferencer(usable, out_dir=str(out_dir), pred_score_thr=score_thr)
    return [Path(out_dir) / 'vis' / Path(path).name for path in usable]


def _head(model: dict[str, Any]) -> str:
    return model['type'].rpartition('.')[2]


def _named(metrics: dict[str, float], layout: str) -> dict[str, Optional[float]]:
    """None where there is nothing to measure, such as AP_small without small objects."""
    return {name: float(metrics[key]) if key in metrics else None for name, key in METRICS[layout].items()}
