"""What a person sees of a run; the log file has everything."""

import errno
import logging
import os
import shutil
import sys
from typing import TextIO

from mmengine.logging import MMLogger
from mmengine.logging.logger import FilterDuplicateWarning
from tqdm import tqdm

from mmnetaug.errors import drop_output, printable
from mmnetaug.progress import is_terminal

LIBRARIES = ('mmengine', 'mmdet', 'mmcv')
NARROWEST = 60  # columns of a terminal that a progress bar needs


class ConsoleHandler(logging.Handler):
    """Show messages as plain lines above a progress bar: all errors, and else what this package or a user's own code
    says, unless with ``extra={'file_only': True}``. What libraries say, such as their configs and deprecations, a user
    can do nothing about."""

    @property
    def stream(self) -> TextIO | None:
        """That of the console, as other handlers have it: MMEngine's ``MLflowVisBackend`` looks."""
        return sys.stdout

    def filter(self, record: logging.LogRecord) -> bool:
        wanted = record.levelno >= logging.ERROR or not (getattr(record, 'file_only', False) or _by_library())
        return wanted and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stdout is None:  # as of a service
            return
        kind = f'{record.levelname.lower()}: ' if record.levelno >= logging.WARNING else ''
        try:
            tqdm.write(kind + printable(record.getMessage()), file=sys.stdout)
            if hasattr(sys.stdout, 'flush'):  # else an object of the program around that has ``write`` alone
                sys.stdout.flush()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            drop_output()  # a reader or terminal that is gone stops no training: the log file has all


def _by_library() -> bool:
    """Whether the code that logs is a library's: MMEngine's records do not tell."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get('__name__', '')
        if name != __name__ and not name.startswith(('logging', 'mmengine.logging')):
            return name.partition('.')[0] in LIBRARIES
        frame = frame.f_back
    return False


def show_few_lines(logger: MMLogger) -> None:
    """Have a logger show on the console what :class:`ConsoleHandler` lets pass; its file stays as it is."""
    for handler in list(logger.handlers):
        if type(handler) is logging.StreamHandler:  # and no FileHandler, which is one too
            quiet = ConsoleHandler(handler.level)  # of processes beside the main one, errors alone
            quiet.addFilter(FilterDuplicateWarning(logger.name))
            logger.handlers[logger.handlers.index(handler)] = quiet


def show_plainly() -> None:
    """Have messages outside of a run, too, look as :class:`ConsoleHandler` writes them."""
    show_few_lines(MMLogger.get_current_instance())


def has_progress_bar() -> bool:
    """Whether the output is a terminal that can show one: not a file, not a dumb terminal, wide enough."""
    dumb = os.name == 'posix' and os.environ.get('TERM', '') in ('', 'dumb')
    return is_terminal(sys.stdout) and not dumb and shutil.get_terminal_size((0, 0)).columns >= NARROWEST


def duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 100 else f'{minutes // 60} h {minutes % 60:02} min'
