"""``_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'``, configs of an installed package, without setuptools.

MMEngine asks ``pkg_resources`` where a package is, which setuptools has no more since version 82
(https://github.com/open-mmlab/mmengine/pull/1676), and knows packages of OpenMMLab alone.

Delete when mmengine 0.10.7 is used no more, all but the configs of this package.
"""

from contextlib import suppress
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = 'mmnetaug::'


def find_packages_by_their_modules(config: ModuleType) -> None:
    """Have MMEngine find configs of packages by :func:`package_folder`, where ``pkg_resources`` is not there, and ours,
    such as ``'mmnetaug::det/ssdlite_netaug_voc.py'``; by the module ``mmengine.config.config``."""
    if find_spec('pkg_resources') is None:
        config.is_installed = lambda package: _folder(package) is not None
        config.get_installed_path = package_folder
    Config = config.Config
    unpatched = Config._get_cfg_path

    @wraps(unpatched)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, Any]:
        if not cfg_path.startswith(OURS):
            return unpatched(cfg_path, filename)
        from mmnetaug.config_files import CONFIGS

        return str(CONFIGS / cfg_path.removeprefix(OURS)), None

    Config._get_cfg_path = staticmethod(get_cfg_path)


def package_folder(package: str) -> str:
    """Folder of an installed package, by its name or that of its module.

    Raises:
        ModuleNotFoundError: there is none, or it has no folder of its own.
    """
    folder = _folder(package)
    if folder is None:
        raise ModuleNotFoundError(f'{package} is not installed, or has no folder of its own')
    return folder


def _folder(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, distribution

    names = [package]
    with suppress(PackageNotFoundError):  # such as mmsegmentation, whose module is mmseg
        names += (distribution(package).read_text('top_level.txt') or '').split()
    specs = [find_spec(name) for name in names]
    return next((str(Path(spec.origin).parent) for spec in specs if spec and spec.origin), None)
