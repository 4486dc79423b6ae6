"""Network Augmentation (NetAug) for tiny object detectors, on MMDetection.

Importing the package costs next to nothing: PyTorch and MMDetection are imported with the first name that needs them.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mmnetaug import compat
from mmnetaug.errors import InputError

if TYPE_CHECKING:
    from mmnetaug import datasets, engine, evaluation, models
    from mmnetaug.apis.detector import Detector
    from mmnetaug.checkpoint import load_weights
    from mmnetaug.evaluation import count_macs, count_params, peak_memory
    from mmnetaug.models import NetAug, TinyNet, build_network

__version__ = '0.2.0'
__all__ = [
    'Detector',
    'InputError',
    'NetAug',
    'TinyNet',
    'build_network',
    'count_macs',
    'count_params',
    'datasets',
    'engine',
    'evaluation',
    'load_weights',
    'models',
    'peak_memory',
]
# Name -> the module of ours that has it.
PLACES = {
    'Detector': 'apis.detector',
    'load_weights': 'checkpoint',
    **dict.fromkeys(['count_macs', 'count_params', 'peak_memory'], 'evaluation'),
    **dict.fromkeys(['NetAug', 'TinyNet', 'build_network'], 'models'),
}

compat.install()  # mends mmdet and what is below it as they are imported


def __getattr__(name: str) -> Any:
    if name in PLACES:
        compat.check_installed()
        value = getattr(import_module(f'{__name__}.{PLACES[name]}'), name)
        globals()[name] = value
        return value
    if name.startswith('_') or find_spec(f'{__name__}.{name}') is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return import_module(f'{__name__}.{name}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
