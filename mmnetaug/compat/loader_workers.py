"""A data loader's process that cannot hand over what it has loaded ends, instead of leaving training to wait for ever.

Python prints a trace and drops the item when sending it fails, such as where ``/dev/shm`` is full (64 MiB in Docker's
containers): https://github.com/pytorch/pytorch/issues/5040.

Delete when a full ``/dev/shm`` ends PyTorch's ``DataLoader`` with an error.
"""

import multiprocessing.queues
import os
import sys
from typing import Any


def end_where_sending_fails(*_: Any) -> None:
    """Have this process, one of a data loader, end with one line where it fails to send; a ``worker_init_fn``. Does
    nothing in a process that no other has started."""
    if multiprocessing.parent_process() is not None:
        multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)


def _end(error: Exception, item: Any) -> None:
    print(f'a process that loads data cannot hand it over: {error}', file=sys.stderr, flush=True)
    os._exit(1)
