"""Registries of this package, children of MMEngine's, so that configs may say ``type='mmnetaug.TinyNet'``."""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmnetaug', locations=['mmnetaug.models'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='mmnetaug', locations=['mmnetaug.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='mmnetaug', locations=['mmnetaug.datasets'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='mmnetaug', locations=['mmnetaug.evaluation'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmnetaug', locations=['mmnetaug.engine.hooks'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmnetaug',
    locations=['mmnetaug.engine.optim'],
)
