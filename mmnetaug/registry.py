"""Registries of this package, children of MMEngine's, so that configs may say ``type='mmnetaug.TinyNet'``."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope, Registry

_scopes = threading.RLock()


def _child(name: str, location: str) -> Registry:
    """Of MMEngine's registry ``name``; the module at ``location`` registers its parts when it is imported."""
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope='mmnetaug', locations=[f'mmnetaug.{location}'])


MODELS = _child('MODELS', 'models')
TASK_UTILS = _child('TASK_UTILS', 'models.task_modules')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'checkpoint')
DATASETS = _child('DATASETS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets.transforms')
METRICS = _child('METRICS', 'evaluation.metrics')
HOOKS = _child('HOOKS', 'engine.hooks')
LOOPS = _child('LOOPS', 'engine.loops')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets.samplers')
FUNCTIONS = _child('FUNCTIONS', 'datasets.batches')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine.optimizers')


@contextmanager
def mmdet_scope() -> Iterator[None]:
    """Names of parts are mmdet's, whatever ran before in this process; of several threads one after the other, since
    MMEngine puts back all scopes that it found."""
    with _scopes, DefaultScope.overwrite_default_scope('mmdet'):
        yield
