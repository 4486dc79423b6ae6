"""Whether mmcv has compiled operators, on Python 3.14, which has no ``pkgutil.find_loader`` any more.

MMEngine 0.10.7 asks that where an optimizer is built, mmcv in ``check_ops_exist``.

Delete when both are used no more; the onedl forks ask ``importlib``.
"""

import pkgutil
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace


def ask_importlib(module: ModuleType) -> None:
    """Have that module ask ``importlib`` where Python has not what it asks."""
    if not hasattr(pkgutil, 'find_loader'):
        module.pkgutil = SimpleNamespace(find_loader=find_spec)
