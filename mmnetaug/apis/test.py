"""Trained detectors: what they are, and their AP."""

import logging
from pathlib import Path
from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from mmnetaug.apis.config import dataset_config
from mmnetaug.apis.image_sizes import image_size, size_options
from mmnetaug.apis.overrides import detection_data_options
from mmnetaug.apis.train import describe_detector, head_name, measures
from mmnetaug.checkpoint import check_finite, checkpoint_meta, read_checkpoint, read_detector
from mmnetaug.deploy.network import COSTS
from mmnetaug.deploy.runtime import Artefact, is_artefact, open_artefact
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.cpu import prepare_distributed
from mmnetaug.engine.runner import bare_model, build_dataloader, build_runner
from mmnetaug.engine.work_dir import name_work_dir
from mmnetaug.errors import InputError
from mmnetaug.models.fusion import fused
from mmnetaug.models.task_modules.prior_generators import Size, width_height
from mmnetaug.progress import Bar
from mmnetaug.registry import mmdet_scope
from mmnetaug.trust import Untrusted

# Entries of a complete config that a test needs.
TEST = (
    'default_scope', 'custom_imports', 'model', 'test_dataloader', 'test_evaluator', 'test_cfg', 'env_cfg',
    'log_processor', 'log_level', 'work_dir', 'launcher', 'randomness',
)  # fmt: skip


def checkpoint_config(checkpoint: str | Path, config: Config | None = None) -> Config:
    """A config to test a checkpoint with: network, classes and transforms are the checkpoint's.

    Args:
        checkpoint: an ``export.pth`` or ``epoch_N.pth`` of ``mmnetaug train``, or an artefact of ``mmnetaug export``;
            with a config also any other checkpoint of that config's detector.
        config: complete; its data set and evaluator are used, and its network for a checkpoint whose own config is
            not trusted. None: the checkpoint's own.

    Raises:
        InputError: the checkpoint cannot be read; without a config also if it does not say what it is.
    """
    if config is None:
        return Config(model_meta(checkpoint)['config'])
    config, meta = test_part(config), None
    said = {} if is_artefact(checkpoint) else checkpoint_meta(read_checkpoint(checkpoint))
    if is_artefact(checkpoint) or 'config' in said or {'pipeline', 'model'} <= said.keys():
        try:
            meta = model_meta(checkpoint)
        except Untrusted as error:
            print_log(f'{error}. The network is that of the config given', 'current', logging.WARNING)
    if meta:
        own = Config(meta['config'])
        config.model = own.model
        dataset = dataset_config(config, 'test_dataloader')
        dataset.pipeline = dataset_config(own, 'test_dataloader').pipeline
        dataset.metainfo = {'classes': meta['classes']}
    elif config.model.backbone.get('init_cfg'):
        config.model.backbone.init_cfg = None  # all weights come from the checkpoint
    return config


def model_meta(path: str | Path) -> dict[str, Any]:
    """What a trained detector says of itself: ``config``, ``classes`` and more.

    Args:
        path: a checkpoint, see :func:`~mmnetaug.checkpoint.read_detector`, or an artefact of ``mmnetaug export``.

    Raises:
        InputError: the file cannot be read, or is no detector.
    """
    if not is_artefact(path):
        return read_detector(path)[0]
    artefact = open_artefact(path, threads=1)
    artefact.check_boxes()
    return artefact.meta


def test_part(config: Config) -> Config:
    """What a test needs of a complete config."""
    return Config({key: value for key, value in config.to_dict().items() if key in TEST})


def set_test_data(
    config: Config,
    data_root: str | None,
    files: dict[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> None:
    """Have a config of :func:`checkpoint_config` test on other data, where some is named, which needs images to test on
    alone and not all of the detector's classes.

    Args:
        config: of :func:`checkpoint_config`.
        data_root, files, allow_outside: as in :func:`~mmnetaug.apis.overrides.detection_data_options`.

    Raises:
        InputError: the data set cannot be used, or has none of the classes.
    """
    dataset = dataset_config(config, 'test_dataloader')
    if not (data_root or files):
        if allow_outside:
            dataset.allow_outside = True
        return
    classes = list(dataset.get('metainfo', {}).get('classes', []))
    number = config.model.bbox_head.num_classes
    config.merge_from_dict(detection_data_options(config, data_root, classes, False, files, allow_outside))
    found = dataset_config(config, 'test_dataloader').metainfo.classes
    if len(found) != number:
        raise InputError(
            f'the detector was trained on {number} classes that its checkpoint does not name, and the data has '
            f'{len(found)} ({", ".join(found)}): expected the same number'
        )


@closing_runs()
def test_detector(config: Config, checkpoint: str | Path) -> dict[str, Any]:
    """Evaluate a detector.

    Args:
        config: of :func:`checkpoint_config`, with ``work_dir``.
        checkpoint: path of the checkpoint, or of an artefact of ``mmnetaug export``, which is measured as it is.

    Returns:
        AP as in :func:`~mmnetaug.apis.train.train_detector`, MACs, parameters and memory, and ``head``, ``arch``,
        ``size`` and ``seed``.

    Raises:
        InputError: weights that do not fit, images of a size that the detector has no anchors for, or data that cannot
            be used.
    """
    if is_artefact(checkpoint):
        return _test_artefact(config, open_artefact(checkpoint))
    content = read_checkpoint(checkpoint)
    runner = testing_runner(config)
    detector = bare_model(runner)
    load_detector(detector, content.get('state_dict', content), checkpoint)
    runner.model = fused(detector)
    size = image_size(config)
    return {
        'head': head_name(config.model),
        'arch': config.model.backbone.get('arch'),
        'size': size,
        'seed': checkpoint_meta(content).get('seed'),
        **measures(runner.test()),
        **describe_detector(detector, size),
    }


def testing_runner(config: Config) -> Runner:
    """MMEngine's runner for a test alone, which shows its progress.

    Raises:
        InputError: no work directory, or see :func:`~mmnetaug.engine.runner.build_runner`.
    """
    config = test_part(config)  # without what --cfg-options may say of training
    name_work_dir(config)
    prepare_distributed(config)
    config.default_hooks = {'console': {'type': 'mmnetaug.ConsoleHook'}}
    return build_runner(config)


@mmdet_scope()
def artefact_metrics(config: Config, artefact: Artefact) -> dict[str, float]:
    """The metrics of a config's test of an artefact.

    Raises:
        InputError: several processes.
    """
    if config.get('launcher', 'none') != 'none':
        raise InputError(f'{artefact.path} is tested by one process: leave out --launcher {config.launcher}')
    loader = build_dataloader(config.test_dataloader)
    evaluator = Evaluator(config.test_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    for batch in Bar(loader, desc=artefact.path.name, unit='batch', leave=False):
        evaluator.process(data_samples=artefact.test_step(batch), data_batch=batch)
    return evaluator.evaluate(len(loader.dataset))


def _test_artefact(config: Config, artefact: Artefact) -> dict[str, Any]:
    size = image_size(config)
    artefact.check_size(*width_height(size))
    return {
        'head': head_name(config.model),
        'size': size,
        **{name: artefact.meta.get(name) for name in ('arch', 'seed', 'head_share', *COSTS)},
        **measures(artefact_metrics(config, artefact)),
    }


def build_detector(checkpoint: str | Path) -> SingleStageDetector:
    """The detector in a checkpoint of ``mmnetaug train``, on the CPU, in evaluation mode.

    Raises:
        InputError: no detector in the checkpoint, or tensors that do not fit.
    """
    meta, state = read_detector(checkpoint)
    try:
        with mmdet_scope(), torch.device('cpu'):  # also where the program builds its own elsewhere
            detector = MODELS.build(ConfigDict(meta['config']['model']))
    except InputError:
        raise
    except Exception as error:  # of whatever a file has put into its model
        raise InputError(
            f'{checkpoint} describes a detector that cannot be built ({type(error).__name__}: {error}): train it again'
        ) from error
    load_detector(detector, state, checkpoint)
    return detector.eval()


def load_detector(detector: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Load all weights, or raise :class:`InputError`, also where some are not finite."""
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f'{path} does not fit its network: {error}') from error
    check_finite(detector.state_dict(), path)


def resize_test(config: Config, size: Size) -> None:
    """Have a config of :func:`checkpoint_config` test at another side of the images, in pixels, or width and height;
    the model stays."""
    config.merge_from_dict(size_options(config, size, model=False))
