"""From a checkpoint to a file that runs without PyTorch."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from mmnetaug.apis.accuracy import classifier_config, test_classifier
from mmnetaug.apis.config import dataset_config
from mmnetaug.apis.image_sizes import image_size as tested_size
from mmnetaug.apis.image_sizes import resized_size
from mmnetaug.apis.test import build_detector, checkpoint_config, set_test_data, test_detector
from mmnetaug.apis.train import describe_detector
from mmnetaug.checkpoint import checkpoint_meta, load_network, read_checkpoint, read_detector, trained_normalisation
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.images import UnusableImage, image_size, images_below
from mmnetaug.datasets.transforms import ResizeCenterCrop
from mmnetaug.deploy.c_code import NO_DECODER, check_c, write_c
from mmnetaug.deploy.heads import describe_head, leave_exponential, raw_maps
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.network import COSTS, Deployable, Raw
from mmnetaug.deploy.onnx import write_onnx
from mmnetaug.deploy.runtime import VERSION
from mmnetaug.deploy.tflite import write_tflite
from mmnetaug.errors import InputError, check_whole, printable
from mmnetaug.extras import FORMATS
from mmnetaug.models.fusion import fused
from mmnetaug.models.networks.network import input_channels
from mmnetaug.models.task_modules.prior_generators import width_height
from mmnetaug.normalisation import GRAY, IMAGENET
from mmnetaug.registry import DATASETS, mmdet_scope

DATA = '--data-root DIR evaluates on data that is there, --no-eval does without'


def export(
    checkpoint: str | Path,
    kind: str,
    out: str | Path | None = None,
    int8: bool = False,
    calibration: str | Path | None = None,
    calibration_images: int = 128,
    raw: bool = False,
    c_code: bool = False,
    evaluate: bool = True,
    data_root: str | None = None,
    files: Mapping[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> dict[str, Any]:
    """Write a trained network as ONNX or TFLite.

    Args:
        checkpoint: an export of ``mmnetaug train`` or ``mmnetaug pretrain``, or an ``epoch_N.pth`` of the first.
        kind: 'onnx' or 'tflite'.
        out: of the file; beside the checkpoint if None.
        int8: weights and activations of 8 bits.
        calibration: folder of images that their ranges are taken from; the training set beside the test set if None.
        calibration_images: how many of them, evenly spread.
        raw: of a detector as ONNX, leave decoding and non-maximum suppression out.
        c_code: write C beside a TFLite file, see :func:`~mmnetaug.deploy.c_code.write_c`.
        evaluate: measure the AP of a detector, or the accuracy of a classifier with ``data_root``, in PyTorch and in
            the file.
        data_root, files, allow_outside: data to evaluate and calibrate on, as in
            :func:`~mmnetaug.apis.overrides.detection_data_options`; what the detector was tested on if the first two
            are None. Of a classifier ``data_root`` is a folder with ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg``.

    Returns:
        ``path``, ``bytes``, and where there was something to evaluate ``before`` and ``after``, results of
        :func:`~mmnetaug.apis.test.test_detector` or :func:`~mmnetaug.apis.accuracy.test_classifier`.

    Raises:
        InputError: a checkpoint that does not say what it is, options that do not fit, no images to calibrate with, or
            packages that are missing.
    """
    if kind not in FORMATS:
        raise InputError(f'format {kind}: expected one of {", ".join(FORMATS)}')
    if c_code and kind != 'tflite':
        raise InputError('--c writes what a microcontroller needs beside a .tflite: expected --format tflite')
    if calibration and not int8:
        raise InputError('--calibration takes images for int8: add --int8')
    check_whole('calibration_images', calibration_images, 1)
    deployable = load_deployable(checkpoint)
    meta = deployable.meta
    detector = meta['task'] == 'detection'
    if not detector and files:
        raise InputError(
            f'{checkpoint} is a classifier: in place of --test-ann expected --data-root DIR, with DIR/val/CLASS/*.jpg '
            'to evaluate on and DIR/train to calibrate with'
        )
    if detector and not meta['head'] and not raw and kind == 'onnx':
        head = meta['config']['model']['bbox_head']['type']
        print_log(f'{head} {NO_DECODER}: the file gives raw maps', 'current')
    if kind == 'tflite' and int8 and any(isinstance(part, nn.LeakyReLU) for part in deployable.network.modules()):
        print_log('LeakyReLU stays in float in TFLite; all is int8 with ReLU6 (yolov3_relu6_baseline_voc)', 'current')
    if c_code:
        check_c(meta)
    path = artefact_path(checkpoint, kind, out, int8)
    if path.suffix != f'.{kind}':
        raise InputError(f'--out {path}: expected a name that ends in .{kind}')
    if kind == 'tflite':
        _check_beside(path.with_suffix('.json'))
    config = None
    if detector:
        config = checkpoint_config(checkpoint)
        set_test_data(config, data_root, files, allow_outside)
    elif data_root:
        config = classifier_config(checkpoint, data_root)
    evaluate = evaluate and config is not None and not (detector and (not meta['head'] or (raw and kind == 'onnx')))
    if evaluate:
        _check_data(config)
    path.parent.mkdir(parents=True, exist_ok=True)  # before minutes are spent
    images = None
    if int8:
        images = list(_calibration(deployable, config, calibration, data_root, files, calibration_images))
        folder = calibration or data_root or dataset_config(config, 'test_dataloader').data_root
        print_log(f'calibrates with {len(images)} images of {printable(folder)}', 'current')
    if kind == 'onnx':
        write_onnx(deployable, path, raw, images)
    else:
        write_tflite(deployable, path, images)
    result: dict[str, Any] = {'path': str(path), 'bytes': path.stat().st_size}
    if c_code:
        result['c'] = [str(each) for each in write_c(path)]
    if evaluate:
        config.work_dir = str(path.parent / 'logs')
        test = test_detector if detector else test_classifier
        result['before'] = test(config, checkpoint)
        result['after'] = test(config, path)
    return result


def artefact_path(checkpoint: str | Path, kind: str, out: str | Path | None, int8: bool) -> Path:
    """Where :func:`export` writes; the JSON of a TFLite file is beside it, with the suffix ``.json``."""
    return Path(out or f'{os.path.splitext(checkpoint)[0]}{".int8" if int8 else ""}.{kind}')


def _check_beside(path: Path) -> None:
    """Raise :class:`InputError` where the JSON of a TFLite file would take the place of something else."""
    try:
        there = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        there = None
    if path.exists() and not (isinstance(there, dict) and 'layout' in there):
        raise InputError(f'{path} is there and says nothing of a TFLite file: name another place with --out')


def load_deployable(checkpoint: str | Path) -> Deployable:
    """A trained network from its checkpoint.

    Args:
        checkpoint: an export of ``mmnetaug train`` or ``mmnetaug pretrain``, or an ``epoch_N.pth`` of the first.

    Raises:
        InputError: the file cannot be read, or does not say which network it is of.
    """
    content = read_checkpoint(checkpoint)
    meta = checkpoint_meta(content)
    if 'config' in meta:
        return _detector(checkpoint)
    if not {'arch', 'classes', 'input_size'} <= meta.keys():
        raise InputError(
            f'{checkpoint} does not say of which network and classes it is: expected the export.pth that '
            'mmnetaug train or mmnetaug pretrain wrote'
        )
    network = fused(load_network(checkpoint, len(meta['classes'])))
    gray = network.arch.in_channels == 1
    its = trained_normalisation(content, network.arch.in_channels) or (GRAY if gray else IMAGENET)
    channels = 'GRAY' if gray else 'RGB' if its['bgr_to_rgb'] else 'BGR'
    side = meta['input_size']
    described = _described(
        meta,
        task='classification',
        size=[side] * 2,
        channels=channels,
        resize=f'the short side to {ResizeCenterCrop(side).scale[1]}, then the {side}x{side} of the centre',
        outputs=['logits'],
        head=None,
    )
    return Deployable(Raw(network, torch.tensor(its['mean']), torch.tensor(its['std'])), described)


@torch.no_grad()
def _detector(checkpoint: str | Path) -> Deployable:
    meta, _ = read_detector(checkpoint)
    Inputs(meta)  # a file that cannot say how images are prepared is none to write
    detector = build_detector(checkpoint)
    for part in detector.modules():  # in place it would change what a graph still needs
        if hasattr(part, 'inplace'):
            part.inplace = False
    config = Config(meta['config'])
    side = tested_size(config)
    size = list(width_height(side))
    cost = describe_detector(detector, side)
    detector = fused(detector)  # as every converter does, but that of PyTorch 2.6 cannot
    its = detector.data_preprocessor  # which has neither mean nor std where it does not normalise
    network = Raw(detector, getattr(its, 'mean', torch.zeros(1)), getattr(its, 'std', torch.ones(1))).eval()
    image = resized_size(config)
    head = describe_head(detector, size, image)
    leave_exponential(detector, head)
    maps = raw_maps(detector, torch.zeros(1, input_channels(detector), size[1], size[0]))
    channels = 'RGB' if getattr(its, '_channel_conversion', False) else 'BGR'
    channels = 'GRAY' if input_channels(detector) == 1 else channels
    resize = 'stretched to {}x{}'.format(*image)
    if any(step.get('keep_ratio') for step in dataset_config(config, 'test_dataloader').pipeline):
        resize = 'into {}x{}, the ratio of its sides kept'.format(*image)
    outputs = [f'map{place}' for place in range(len(maps))]
    told = {'size': size, 'channels': channels, 'resize': resize, 'outputs': outputs, 'head': head}
    return Deployable(network, _described(meta, task='detection', **told) | cost)


def _described(meta: dict[str, Any], **told: Any) -> dict[str, Any]:
    """A :attr:`~mmnetaug.deploy.network.Deployable.meta`: ``told``, and what the checkpoint says of itself."""
    kept = {name: meta[name] for name in ('config', 'arch', 'seed', 'epochs', *COSTS) if name in meta}
    return {'version': VERSION, 'classes': list(meta['classes']), **told, **kept}


def _check_data(config: Config) -> None:
    dataset = dataset_config(config, 'test_dataloader')
    try:
        with mmdet_scope():
            DATASETS.build({**dataset, 'pipeline': []})
    except InputError as error:
        raise InputError(f'{error}. {DATA}') from error


def _calibration(
    deployable: Deployable,
    config: Config | None,
    folder: str | Path | None,
    data_root: str | None,
    files: Mapping | None,
    number: int,
) -> Iterator[np.ndarray]:
    paths = images_below(Path(folder)) if folder else _training_images(config, data_root, files)
    usable = list(itertools.islice((path for path in _spread(paths, number) if _readable(path)), number))
    if not usable:
        raise InputError(f'no image to calibrate with in {folder or data_root}: expected --calibration DIR with some')
    return Inputs(deployable.meta).pixels(usable)


def _training_images(config: Config | None, data_root: str | None, files: Mapping | None) -> list[Path]:
    """The images of the training set that belongs to the test set."""
    advice = 'int8 needs images to calibrate with: give a folder of them with --calibration DIR'
    if config is None:
        raise InputError(f'{advice} (such as train of the class folders)')
    tested = dataset_config(config, 'test_dataloader')
    root = data_root or tested.get('data_root')
    if 'bbox_head' not in config.model:  # class folders
        return images_below(Path(root) / 'train')
    if files or not root:
        raise InputError(f'{advice}; data that was named by its files says nothing of images to train on')
    try:
        found = find_detection_data(root)  # with all its classes, as images are all that is wanted
        options = {'pipeline': [], 'filter_cfg': {}, 'allow_outside': tested.get('allow_outside', False)}
        data = DATASETS.build({**found['train'], 'metainfo': {'classes': found['classes']}, **options})
    except InputError as error:
        raise InputError(f'{advice}. The training set was not found: {error}') from error
    return [Path(data.get_data_info(place)['img_path']) for place in range(len(data))]


def _spread(paths: Sequence[Path], number: int) -> list[Path]:
    """All paths, ``number`` evenly spread ones first."""
    first = {len(paths) * rank // number for rank in range(number)}
    return [paths[place] for place in sorted(range(len(paths)), key=lambda place: place not in first)]


def _readable(path: Path) -> bool:
    try:
        image_size(path, decode=True)
    except UnusableImage:
        return False
    return True
