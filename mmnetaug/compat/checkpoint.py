"""Resuming from MMEngine's own checkpoints under PyTorch's safe loading.

MMEngine calls ``torch.load`` with its defaults. Since torch 2.6 these refuse everything but plain tensors
and containers, and so MMEngine's checkpoints, in which the message hub keeps its history in numpy arrays
(https://github.com/open-mmlab/mmengine/issues/1655). Loading stays safe: only what these histories consist
of is declared harmless.

Delete when the oldest MMEngine in use resumes by itself without ``weights_only=False``.
"""

from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np
import torch


def allow_resuming() -> None:
    """Declare the parts of MMEngine's message hub safe to load."""
    from mmengine.logging.history_buffer import HistoryBuffer

    def statistic(owner: type, name: str) -> Callable:
        """Stand in for ``getattr``, which would reach anything, where a history names its statistics."""
        if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
            raise UnpicklingError(f'{owner!r}.{name} is no statistic of HistoryBuffer')
        return getattr(owner, name)

    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (statistic, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *(type(np.dtype(name)) for name in ('float64', 'float32', 'int64', 'int32', 'bool')),
            # numpy 2 renamed the module that these two live in; a checkpoint may come from either version.
            *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )
