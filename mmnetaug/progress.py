"""Progress bars."""

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's, without its thread: processes may be forked beside it."""

    monitor_interval = 0
