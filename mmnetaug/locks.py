"""Locks of folders, which end with the process that holds them, however that ends."""

import errno
from typing import IO

from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None


def lock(file: IO[str], inherited: bool = False) -> bool:
    """Lock a file until it is closed.

    Where the file system has no locks, as that of some network drives, a warning says so.

    Args:
        file: open for writing.
        inherited: processes that this one starts hold the lock as well.

    Returns:
        False where another process holds it.
    """
    try:
        if fcntl:
            (fcntl.flock if inherited else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        print_log(f'{file.name} cannot be locked ({error.strerror}): start nothing else there meanwhile', 'current', 30)
    return True
