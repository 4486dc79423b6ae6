"""Pretraining on images of one folder a class: from a complete config to ``export.pth``."""

from typing import Any

from mmengine.config import Config

from mmnetaug.apis.image_sizes import image_size
from mmnetaug.archs import get_arch
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.history import read_history
from mmnetaug.engine.hooks.netaug_hook import NetAugHook
from mmnetaug.engine.runner import bare_model, train_and_validate, training_runner, write_results
from mmnetaug.engine.training_config import check_training
from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs, count_params
from mmnetaug.evaluation.memory import describe_memory
from mmnetaug.models.classifiers import Classifier
from mmnetaug.models.networks import NetAug, Network
from mmnetaug.records import numbers

# Entries of a config that a result keeps.
RECIPE = ('model', 'optim_wrapper', 'auto_scale_lr', 'param_scheduler', 'custom_hooks')


@closing_runs()
def pretrain(config: Config) -> dict[str, Any]:
    """Train, evaluate, and write ``export.pth`` and ``result.json`` to the work directory.

    Args:
        config: complete, with ``work_dir``.

    Returns:
        What ``result.json`` holds: accuracies in percent, those of each validation in ``history``, MACs, parameters,
        memory (:func:`~mmnetaug.evaluation.memory.describe_memory`), the recipe, and what
        :func:`~mmnetaug.engine.runner.write_results` says of the training.

    Raises:
        InputError: a value out of range, data that is not there or does not fit, or see
            :func:`~mmnetaug.engine.training_config.check_training` and :func:`~mmnetaug.engine.runner.training_runner`.
    """
    check_training(config)
    get_arch(config.model.arch, config.model.get('padding', 'symmetric'))
    size = image_size(config, 'val_dataloader')
    if not isinstance(size, int) or size < 16:
        raise InputError(f'image size {size}: expected squares of at least 16 pixels')
    runner = training_runner(config)
    classes, validated = (
        list(loader.dataset.metainfo['classes']) for loader in (runner.train_dataloader, runner.val_dataloader)
    )
    if classes != validated:
        different = sorted(set(classes) ^ set(validated)) or classes  # or the same in another order
        raise InputError(
            f'the classes to train on and to validate on differ, first {", ".join(different[:5])}: expected the same '
            'in both'
        )
    if config.model.num_classes != len(classes):
        raise InputError(
            f'the data has {len(classes)} classes and model.num_classes is {config.model.num_classes}: expected the '
            'same; --data-root DIR sets it to the number of classes there'
        )
    if config.model.get('netaug') and not any(isinstance(hook, NetAugHook) for hook in runner.hooks):
        raise InputError(
            'model.netaug without the hook that draws the larger networks: expected '
            "default_hooks=dict(netaug=dict(type='mmnetaug.NetAugHook')) beside it, or neither"
        )
    accuracy = train_and_validate(runner)
    tiny = _exported(bare_model(runner))
    entries = config.to_dict()
    result = {
        'arch': tiny.arch.name,
        'padding': tiny.arch.padding,
        'in_channels': tiny.arch.in_channels,
        'netaug': entries['model'].get('netaug'),
        **numbers(accuracy),
        'macs': count_macs(tiny, (tiny.arch.in_channels, size, size)),
        'params': count_params(tiny),
        **describe_memory(tiny, size),
        'input_size': size,
        'num_classes': len(classes),
        'classes': classes,
        'history': _history(config.work_dir),
        'recipe': {key: entries[key] for key in RECIPE if key in entries},
    }
    return write_results(runner, result, _exported)


def _exported(classifier: Classifier) -> Network:
    network = classifier.network
    return network.export() if isinstance(network, NetAug) else network


def _history(work_dir: str) -> list[dict[str, float]]:
    curves = {name: dict(read_history(work_dir, name)) for name in ('top1', 'train_eval_top1')}
    return [
        {'epoch': epoch, **{name: curve[epoch] for name, curve in curves.items() if epoch in curve}}
        for epoch in sorted(curves['top1'])
    ]
