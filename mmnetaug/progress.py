"""Progress bars, and silence."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's, without its thread: processes may be forked beside it."""

    monitor_interval = 0


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
