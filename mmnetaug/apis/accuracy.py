"""Trained classifiers: their accuracy on images of one folder a class."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnetaug.apis.config import dataset_config, read_config
from mmnetaug.apis.image_sizes import image_size
from mmnetaug.apis.overrides import gray_options
from mmnetaug.apis.test import artefact_metrics, test_part, testing_runner
from mmnetaug.checkpoint import (
    checkpoint_arch,
    checkpoint_meta,
    classifier_rows,
    load_network,
    read_checkpoint,
    trained_normalisation,
)
from mmnetaug.datasets.image_folder import class_folders
from mmnetaug.deploy.network import COSTS
from mmnetaug.deploy.runtime import is_artefact, open_artefact
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.runner import bare_model
from mmnetaug.errors import InputError, check_whole
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.evaluation.memory import describe_memory
from mmnetaug.models.fusion import fused

BASE = 'baseline_mbv2'  # whose validation is that of all pretraining


def is_classifier(path: str | Path) -> bool:
    """Whether a file is an export of ``mmnetaug pretrain``, an artefact of one, or other weights of a network of ours,
    and no detector.

    Raises:
        InputError: it cannot be read.
    """
    if is_artefact(path):
        return open_artefact(path, threads=1).meta['task'] == 'classification'
    content = read_checkpoint(path)
    meta, state = checkpoint_meta(content), content.get('state_dict', content)
    detector = {'config', 'pipeline'} & meta.keys() or any(name.startswith('bbox_head.') for name in state)
    return not detector and checkpoint_arch(content) is not None


def classifier_config(checkpoint: str | Path, data_root: str | Path | None, size: int | None = None) -> Config:
    """A config to test a classifier with.

    Args:
        checkpoint: see :func:`is_classifier`.
        data_root: folder with ``val/CLASS/*.jpg``.
        size: side of the images in pixels; None for that which the checkpoint says.

    Raises:
        InputError: no such images, of other classes than the checkpoint's, or a size that is not known or not possible.
    """
    if data_root is None:
        raise InputError(
            f'{checkpoint} is a classifier, and names no data: expected --data-root DIR, with DIR/val/CLASS/*.jpg'
        )
    artefact = open_artefact(checkpoint, threads=1) if is_artefact(checkpoint) else None
    content = {} if artefact else read_checkpoint(checkpoint)
    meta = artefact.meta if artefact else checkpoint_meta(content)
    own = meta['size'][0] if artefact else meta.get('input_size')
    if size is None and own is None:
        raise InputError(f'{checkpoint} does not say for images of which size it is: give --size, such as --size 160')
    size = own if size is None else size
    check_whole('image size', size, 16)
    if artefact:
        artefact.check_size(size, size)
    config = test_part(read_config(BASE, 'pretrain'))
    if meta.get('in_channels') == 1 or meta.get('channels') == 'GRAY':
        config.merge_from_dict(gray_options(config))
    dataset = dataset_config(config, 'test_dataloader')
    for step in dataset.pipeline:
        if 'size' in step:
            step.size = size
    classes = class_folders(Path(data_root) / dataset.split)
    if not artefact:
        rows = classifier_rows(content)
        if rows is None:
            raise InputError(f'{checkpoint} has no classifier: it starts a network (--pretrained), and has no accuracy')
        if rows != len(classes):
            raise InputError(f'{checkpoint} knows {rows} classes and {data_root}/{dataset.split} has {len(classes)}')
    theirs = tuple(map(str, meta.get('classes') or classes))
    if theirs != classes:
        different = ', '.join(sorted(set(theirs) ^ set(classes))[:5])
        raise InputError(
            f'{checkpoint} knows other classes than {data_root}/{dataset.split} has '
            f'({f"in only one of them: {different}" if different else "the same, in another order"}): expected the same'
        )
    dataset.update(data_root=str(data_root), num_classes=len(classes))
    config.model.num_classes = len(classes)
    return config


@closing_runs()
def test_classifier(config: Config, checkpoint: str | Path) -> dict[str, Any]:
    """Evaluate a classifier.

    Args:
        config: of :func:`classifier_config`, with ``work_dir``.
        checkpoint: the file.

    Returns:
        ``top1`` and ``top5`` in percent, ``arch``, ``input_size``, ``num_classes`` and ``seed``, and of a checkpoint
        MACs, parameters and memory (:func:`~mmnetaug.evaluation.memory.describe_memory`).

    Raises:
        InputError: weights that do not fit, or data that cannot be used.
    """
    size = image_size(config)
    if is_artefact(checkpoint):
        artefact = open_artefact(checkpoint)
        known, arch = artefact.meta, artefact.meta.get('arch')
        metrics = artefact_metrics(config, artefact)
        cost = {name: known[name] for name in COSTS if name in known}
    else:
        content = read_checkpoint(checkpoint)
        network = load_network(checkpoint, config.model.num_classes)
        known, rows, arch = checkpoint_meta(content), network.arch, network.arch.name
        config.model.update(arch=arch, padding=rows.padding, in_channels=rows.in_channels)
        config.model.data_preprocessor.update(trained_normalisation(content, rows.in_channels))
        runner = testing_runner(config)
        model = bare_model(runner)
        model.network.load_state_dict(network.state_dict())
        runner.model = fused(model)
        metrics = runner.test()
        macs, params = count_macs(network, (rows.in_channels, size, size)), count_params(network)
        cost = {'macs': macs, 'params': params, **describe_memory(network, size)}
    classes = config.model.num_classes
    return {'arch': arch, 'seed': known.get('seed'), 'input_size': size, 'num_classes': classes, **metrics, **cost}
