"""A data loader's process that cannot hand over what it has loaded ends, instead of leaving training to wait for ever.

Python prints a trace and drops the item when sending it fails, such as where ``/dev/shm`` is full (64 MiB in Docker's
containers): https://github.com/pytorch/pytorch/issues/5040.

Delete when a full ``/dev/shm`` ends PyTorch's ``DataLoader`` with an error.
"""

import multiprocessing
import os
import sys
from types import ModuleType
from typing import Any


def end_workers_that_cannot_send(queues: ModuleType) -> None:
    """Have a process that was started for others end where it fails to send, with one line; by the module
    ``multiprocessing.queues``."""
    Queue = queues.Queue
    unpatched = Queue._on_queue_feeder_error

    def end(error: Exception, item: Any) -> None:
        if multiprocessing.parent_process() is None:
            unpatched(error, item)
            return
        print(f'a process that loads data cannot hand it over: {error}', file=sys.stderr, flush=True)
        os._exit(1)

    Queue._on_queue_feeder_error = staticmethod(end)
