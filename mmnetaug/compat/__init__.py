"""What works around other libraries: MMDetection on a current PyTorch, without compiled operators.

Each module names the upstream issue it works around and when it can be deleted. Each looks at what the
library does, not at version strings, so that mmcv and mmdet as well as the maintained onedl forks of both
are served, and does nothing where upstream works.
"""

from functools import cache
from importlib.util import find_spec

from mmnetaug.compat import openmp


@cache
def apply() -> None:
    """Make mmdet importable and usable; called by ``import mmnetaug``. Calling it again changes nothing.

    Raises:
        ImportError: mmengine, mmcv or mmdet is not installed.
    """
    openmp.wait_passively()  # before anything imports torch
    missing = [name for name in ('mmengine', 'mmcv', 'mmdet') if find_spec(name) is None]
    if missing:
        raise ImportError(
            f'mmnetaug needs {" and ".join(missing)}, not installed here. '
            'Without an MMDetection environment type\n'
            '    pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0'
        )

    from . import checkpoint, config_text, loader_workers, mmcv_ops, ssd_head

    mmcv_ops.provide_missing_operators()
    checkpoint.keep_checkpoints_plain()
    config_text.format_configs_quickly()
    loader_workers.end_workers_that_cannot_send()
    ssd_head.add_missing_loss()
