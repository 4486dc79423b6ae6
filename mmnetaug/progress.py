"""Progress bars, and silence."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


def is_terminal(stream: Any) -> bool:
    """Whether a stream is one. None, as a service may have, is none, nor what has no more than ``write``."""
    return hasattr(stream, 'isatty') and stream.isatty()


class Bar(tqdm):
    """tqdm's, on a terminal alone, and without its thread: processes may be forked beside it."""

    monitor_interval = 0

    def __init__(self, *args: Any, file: Any = None, disable: bool | None = None, **options: Any) -> None:
        file = sys.stderr if file is None else file
        disable = not is_terminal(file) if disable is None else disable
        super().__init__(*args, file=file, disable=disable, **options)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of libraries about themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
