"""What was found out about files, so that nothing is read twice: kept between runs, or handed on within one."""

import contextlib
import gc
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

Found = TypeVar('Found')
# How long a file must have been left alone before it counts as known: two changes may have the same time otherwise.
SETTLED_NS = 2 * 10**9


def cache_folder() -> Path:
    """Where what is known is kept: ``mmnetaug`` in the user's cache folder. It may be deleted at any time.

    Raises:
        RuntimeError: there is no home folder.
    """
    given = os.environ.get('XDG_CACHE_HOME', '')
    return (Path(given) if os.path.isabs(given) else Path.home() / '.cache') / 'mmnetaug'


def state(path: str | Path) -> tuple[int, int, int]:
    """Length of a file, and the times in ns when its content and its entry (by renaming, say) changed last.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_settled(state: tuple[int, int, int]) -> bool:
    """Whether a further change would show in :func:`state`."""
    return time.time_ns() - max(state[1:]) >= SETTLED_NS


class KnownFiles(Generic[Found]):
    """What a function finds in files of a folder, kept in the user's cache folder as long as the files do not change.

    Every process reads and replaces the index as a whole. One that is damaged, or that cannot be written, is done
    without.

    Args:
        folder: of the files. Each has an index of its own.
        find: path -> what is to be known, of JSON's types. What it raises is not kept.
        version: of the function and of what its results depend on; those of another are not used.
    """

    def __init__(self, folder: str | Path, find: Callable[[str], Found], version: str) -> None:
        self.find = find
        self.place = None
        name = hashlib.sha256(f'{version}\n{os.path.abspath(folder)}'.encode('utf-8', 'surrogateescape')).hexdigest()
        with contextlib.suppress(RuntimeError):
            self.place = cache_folder() / f'{name[:32]}.json'
        self.known, self.new = self._read(), dict[str, str]()

    def __call__(self, path: str) -> Found:
        """What ``find`` finds at an absolute path, or found when the file was as it is now."""
        try:
            now = state(path)
        except (OSError, ValueError):
            return self.find(path)
        key, stated = json.dumps(path), ' '.join(map(str, now))
        before, _, found = self.known.get(key, '').partition('\t')
        if before == stated:
            return json.loads(found)
        settled = is_settled(now)
        found = self.find(path)
        if settled:
            self.new[key] = f'{stated}\t{json.dumps(found)}'
        return found

    def save(self) -> None:
        """Add what is new to the index."""
        if not self.new or self.place is None:
            return
        text = '\n'.join(f'{key}\t{value}' for key, value in {**self._read(), **self.new}.items())
        partial = None
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(dir=self.place.parent, suffix='.partial')
            with open(descriptor, 'w', encoding='ascii') as file:
                file.write(f'{_digest(text)}\n{text}')
            os.replace(partial, self.place)
        except OSError:
            if partial is not None:
                with contextlib.suppress(OSError):
                    os.unlink(partial)
        self.new = {}

    def _read(self) -> dict[str, str]:
        """The lines of the index: path in JSON -> state, tab, and what was found in JSON. Most are never asked for."""
        if self.place is None:
            return {}
        try:
            digest, _, text = self.place.read_text(encoding='ascii').partition('\n')
            return dict(line.split('\t', 1) for line in text.split('\n')) if digest == _digest(text) else {}
        except (OSError, ValueError):
            return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('ascii')).hexdigest()


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Python looks for cycles the more often the more objects there are, and data that is read has none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class HandedOn(Generic[Found]):
    """Reads files, and hands on what was read to the one who needs it next.

    Args:
        read: path -> content.
    """

    def __init__(self, read: Callable[[str | Path], Found]) -> None:
        self.read = read
        self.kept: dict[str, tuple[tuple[int, int, int], Found]] = {}

    def look(self, path: str | Path) -> Found:
        """Read a file and keep the content for :meth:`take`."""
        before, settled = None, False
        with contextlib.suppress(OSError, ValueError):  # which reading reports
            before = state(path)
            settled = is_settled(before)
        content = self.read(path)
        if settled:
            self.kept[os.path.abspath(path)] = before, content
        return content

    def take(self, path: str | Path) -> Found:
        """The content, which is kept no longer; read afresh if the file has changed."""
        kept = self.kept.pop(os.path.abspath(path), None)
        with contextlib.suppress(OSError, ValueError):
            if kept and kept[0] == state(path):
                return kept[1]
        return self.read(path)
