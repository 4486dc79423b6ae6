"""Mistakes that a person can mend, and how a tool ends."""

import contextlib
import errno
import locale
import numbers
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# What the system says of a file or a folder that is there and cannot be read.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN)
# What it says where a folder, a disk or a right is at fault, not the program.
DISK_ERRORS = (
    *UNREADABLE,
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP),
)
MAKE_ROOM = 'Make room or give another folder (--work-dir, --out); what was saved stays'
ADVICE = {  # where that is another
    errno.ENAMETOOLONG: 'Give a shorter path',
    errno.ELOOP: 'It is a link that leads back to itself: remove it, or give another path',
    errno.ENOENT: 'It has been moved or deleted, or cannot be made there: check the path',
    errno.EISDIR: 'It is a folder: give the name of a file',
    errno.EIO: 'The disk has failed there',
    **dict.fromkeys((errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN), 'The network drive is gone: mount it again'),
    **dict.fromkeys((errno.EACCES, errno.EPERM), 'You may not: change its permissions, or give another path'),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), 'It is a file, or below one: give a folder'),
}
# What PyTorch says where a process of a data loader was killed, or had no memory to share.
ENDED = re.compile(
    r'DataLoader worker \(pid|Caught .* in DataLoader worker (?s:.*)(shared memory|unable to \w+ .*file)'
)
CONTROLS = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]')  # all but tabs and ends of lines


class InputError(ValueError):
    """Wrong input: the message says what is wrong, what was expected and what to type next."""


class Stopped(Exception):
    """A run was told to stop, and has saved.

    Attributes:
        signal: number of the signal that told it.
        resume: whether the command goes on with ``--resume`` alone.
    """

    def __init__(self, signal: int, message: str, resume: bool = True) -> None:
        super().__init__(message)
        self.signal, self.resume = signal, resume


def check_whole(name: str, value: Any, least: int) -> int:
    """``value``, also one of NumPy, as an int; raise :class:`InputError` unless it is whole and at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f'{name} is {value!r}: expected a whole number of at least {least}')
    return int(value)


def check_names(names: Sequence[str], checkpoints: Sequence[Any]) -> None:
    """Raise :class:`InputError` unless there is a name of its own for each checkpoint."""
    if len(names) != len(checkpoints) or len(set(names)) < len(names):
        raise InputError(f'{" ".join(names)} for {len(checkpoints)} checkpoints: expected a name of its own for each')


def printable(text: object) -> str:
    """Text of which bytes of a file's name that are no UTF-8 are escaped, and characters that control a terminal."""
    text = str(text).encode('utf-8', 'backslashreplace').decode()
    return CONTROLS.sub(lambda sign: f'\\x{ord(sign[0]):02x}', text)


def run_tool(main: Callable[[], None]) -> None:
    """Run a command-line tool.

    An :class:`InputError`, a disk that cannot be written, a file that is gone, a process of a data loader that died and
    a GPU without memory end it with one message and exit status 2; :class:`Stopped` with what to type to go on, and 128
    and the signal's number.
    """
    _use_utf8()
    try:
        main()
        sys.stdout.flush()
    except Stopped as stopped:
        _end(f'{stopped}. It goes on with\n    {typed_command(stopped.resume, here=True)}', 128 + stopped.signal)
    except KeyboardInterrupt:
        _end('stopped', 128 + signal.SIGINT)
    except InputError as error:
        # One raised in a data loader's process arrives with the whole trace as its text.
        _end(f'error: {str(error).rsplit("InputError: ", 1)[-1].strip()}', 2)
    except BrokenPipeError:
        if not _is_unread():  # of another pipe
            raise
        drop_output()  # as any program ends whose output is not read to its end
        sys.exit(128 + getattr(signal, 'SIGPIPE', 13))
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f'{error.filename}: ' if error.filename else ''
        _end(f'error: {place}{error.strerror}. {ADVICE.get(error.errno, MAKE_ROOM)}', 2)
    except RuntimeError as error:
        if str(error).startswith('Symlink loop'):  # of Path.resolve, before Python 3.13
            _end(f'error: {error}. {ADVICE[errno.ELOOP]}', 2)
        if type(error).__name__ == 'OutOfMemoryError':  # of PyTorch, on a GPU
            advice = 'a smaller --batch-size (the learning rate follows) or --size, or --amp, needs less'
            _end(f'error: the GPU has too little memory: {advice}', 2)
        if not ENDED.match(str(error)):
            raise
        advice = (
            'Where memory or /dev/shm ran out (docker run --shm-size=1g), --workers 1 needs less and --workers 0 '
            '(train_dataloader.num_workers=0, say) none; a training goes on with --resume'
        )
        _end(f'error: {str(error).strip().splitlines()[-1]}. {advice}', 2)
    finally:
        dist = sys.modules.get('torch.distributed')
        if dist and dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def typed_command(resume: bool = False, here: bool = False) -> str:
    """What was typed, to be typed again; with ``resume`` to go on, and ``here`` in this shell, which may not know
    ``mmnetaug``."""
    program, *arguments = sys.argv
    if resume:
        arguments = [*(part for part in arguments if part != '--resume'), '--resume']
    words = ['python', program]
    if Path(program).stem in ('mmnetaug', '__main__'):  # installed, or python -m mmnetaug
        words = ['mmnetaug']
        if here and shutil.which('mmnetaug') is None:
            words = [program] if Path(program).stem == 'mmnetaug' else ['python', '-m', 'mmnetaug']
    join = shlex.join if os.name == 'posix' else subprocess.list2cmdline
    return join([*words, *arguments])


def _is_unread() -> bool:
    """Whether nobody reads standard output any more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # Windows has no poll
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    return False


def drop_output() -> None:
    """Have standard output go nowhere, as nobody reads it any more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # of a stream that is none of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale says otherwise: names of files and classes, logs and messages
    are UTF-8. What the console cannot show is escaped."""
    if None in (sys.stdout, sys.stderr):  # as of a service
        null = os.fdopen(os.open(os.devnull, os.O_WRONLY), 'w')
        sys.stdout, sys.stderr = sys.stdout or null, sys.stderr or null
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, 'reconfigure')]
    for stream in streams:  # and not a notebook's
        stream.reconfigure(errors='backslashreplace')
    again = os.environ.get('PYTHONUTF8') == '1'  # and to no avail: the command line says -X utf8=0
    if (
        os.name == 'posix'
        and len(streams) == 2
        and not sys.flags.utf8_mode
        and not again
        and locale.getpreferredencoding(False).upper() != 'UTF-8'
    ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, 'PYTHONUTF8': '1'})


def _end(message: str, status: int) -> None:
    with contextlib.suppress(ValueError):  # in a thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said, and another Ctrl-C would add a trace
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
    with contextlib.suppress(OSError):  # of a terminal that is gone
        print(f'\n{printable(message)}', file=sys.stderr)
    sys.exit(status)
