"""What works around other libraries: MMDetection on a current PyTorch, without compiled operators.

Each module says what it works around, with the upstream issue if there is one, and when it can be deleted. None looks
at version strings, so that mmcv and mmdet as well as the maintained onedl forks of both are served. ``import mmnetaug``
imports none of these libraries: each is mended when somebody imports it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType
from typing import Any

from mmnetaug.compat import checkpoint, config_text, find_loader, inferencer, openmp, package_configs, ssd_head

NEEDED = ('mmengine', 'mmcv', 'mmdet')
# Module -> what mends it, once it is imported.
MENDS = {
    'mmengine.config.config': [
        config_text.format_configs_quickly,
        package_configs.find_packages_by_their_modules,
    ],
    'mmengine.hooks.checkpoint_hook': [checkpoint.know_average_precision],
    'mmengine.infer.infer': [inferencer.take_functions_as_runners_do],
    'mmengine.runner.checkpoint': [checkpoint.read_safetensors],
    'mmengine.runner.runner': [checkpoint.keep_checkpoints_plain],
    'mmengine.utils.dl_utils.misc': [find_loader.ask_importlib],
    'mmcv.utils.ext_loader': [find_loader.ask_importlib],
    'mmdet.models.dense_heads.ssd_head': [ssd_head.add_missing_loss],
}
COMPILED_MODULE = 'mmcv._ext'


def install() -> None:
    """Mend what is imported already, and the rest when it is imported. Calling it again changes nothing."""
    if any(isinstance(finder, _Mender) for finder in sys.meta_path):
        return
    openmp.wait_shortly()
    for name in MENDS.keys() & sys.modules.keys():
        _mend(sys.modules[name])
    sys.meta_path.insert(0, _Mender())
    sys.meta_path.append(_StandIns())


def _mend(module: ModuleType) -> None:
    for mend in MENDS[module.__name__]:
        mend(module)


def check_installed() -> None:
    """Raise :class:`ImportError` where mmengine, mmcv or mmdet is not installed, with what to type."""
    missing = [name for name in NEEDED if name not in sys.modules and find_spec(name) is None]
    if missing:
        raise ImportError(
            f'mmnetaug needs {" and ".join(missing)}, not installed here. '
            'Without an MMDetection environment type\n'
            '    pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0'
        )


class _Mender(MetaPathFinder):
    """Has the modules of ``MENDS`` mended after they were executed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in MENDS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _MendingLoader(spec.loader)
                return spec
        return None


class _MendingLoader(Loader):
    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _mend(module)

    def __getattr__(self, name: str) -> Any:  # get_source and the like
        return getattr(self.loader, name)


class _StandIns(MetaPathFinder, Loader):
    """Comes last, where nothing else has found mmcv's compiled operators."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name == COMPILED_MODULE else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from mmnetaug.compat.mmcv_ops import OperatorStandIn

        return OperatorStandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass
