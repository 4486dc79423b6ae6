"""What runners open is closed when the function ends that built them, and not with the garbage of a program."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

# What is left open, of the innermost closing_runs; None outside of one.
_left_open: ContextVar[ExitStack | None] = ContextVar('_left_open', default=None)


@contextmanager
def closing_runs() -> Iterator[None]:
    """Close what the runners that are built within have opened, when this ends, also by an exception: the log files,
    which MMEngine leaves open, the processes that load data, and where it fails what their visualizers write. The
    console goes on."""
    with ExitStack() as stack:
        token = _left_open.set(stack)
        try:
            yield
        finally:
            _left_open.reset(token)


def close_later(close: Callable[..., None], opened: Any) -> None:
    """Have ``close(opened, failure, ...)`` called when the innermost ``closing_runs`` ends, if there is one: with type,
    value and trace of the exception that ended it, or with None."""
    if stack := _left_open.get():
        stack.push(partial(close, opened))


def close_files(logger: MMLogger, *_: Any) -> None:
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            logger.removeHandler(handler)
            with suppress(OSError):  # of a full disk, which has been said
                handler.close()


def close_after_failure(visualizer: Visualizer, failure: type[BaseException] | None, *_: Any) -> None:
    """A training that ends well closes its own."""
    if failure:
        for backend in visualizer._vis_backends.values():
            with suppress(Exception):  # of one that was not opened; the failure is what is told
                backend.close()


def end_workers(loader: DataLoader, *_: Any) -> None:
    """End the processes that wait for the next epoch. Collected as garbage, each would make the program wait for five
    seconds: the queue by which it is told to end may be collected before."""
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()
