"""Checkpoints of training that say what they are."""

from typing import Any

from mmdet.models.detectors import BaseDetector
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.runner import bare_model
from mmnetaug.models.networks import NetAug, Network
from mmnetaug.registry import HOOKS
from mmnetaug.trust import SECTIONS

# Parts of a complete config that a detector's checkpoint keeps, to be tested without the file: what it may name.
KEPT = ('default_scope', *SECTIONS)


def detector_meta(runner: Runner) -> dict[str, Any]:
    """What a checkpoint of the runner's detector says of it: plain data, see
    :func:`~mmnetaug.checkpoint.read_detector`."""
    config = {key: value for key, value in runner.cfg.to_dict().items() if key in KEPT}
    config['model'] = _without(config['model'], 'init_cfg')
    classes = list(runner.train_dataloader.dataset.metainfo['classes'])
    return {
        'config': config,
        'classes': classes,
        'arch': getattr(bare_model(runner).backbone, 'arch', None),
        'seed': runner.seed,
        'epochs': runner.max_epochs,
        'dataset_meta': {'classes': classes},  # where mmdet looks for it
    }


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without(below, key) for name, below in value.items() if name != key}
    return [_without(below, key) for below in value] if isinstance(value, list) else value


def classifier_meta(runner: Runner) -> dict[str, Any]:
    """What a checkpoint of the runner's classifier says of it, of what its export does: all that its weights need."""
    network = bare_model(runner).network
    arch = network.base if isinstance(network, NetAug) else network.arch
    return {
        'arch': arch.name,
        'padding': arch.padding,
        'in_channels': arch.in_channels,
        'recipe': {'model': runner.cfg.model.to_dict()},
    }


@HOOKS.register_module()
class ExportHook(Hook):
    """Put into each ``epoch_N.pth`` of a detector, or of a network of ours that is pretrained, what an export says, so
    that the one can be tested, and the other's weights be used, as of one."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = bare_model(runner)
        if isinstance(model, BaseDetector):
            told = detector_meta(runner)
        elif isinstance(getattr(model, 'network', None), (Network, NetAug)):
            told = classifier_meta(runner)
        else:
            return
        told = {**checkpoint.get('mmnetaug', {}), **told}
        checkpoint['mmnetaug'] = checkpoint['meta']['mmnetaug'] = told  # the second for MMDetection's publish_model.py
