"""Files that our tools write, and JSON that they read again."""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmnetaug.errors import InputError

RESULT_VERSION = 1  # of result.json and the records of figures; another one is read differently
BY_CLASS = 'AP50/'  # beginning of a measure of one class, behind a prefix such as 'coco/'


def write_json(path: str | Path, content: dict | list) -> None:
    """Write a JSON file that is there whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_text(path: str | Path, text: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after the power went."""
    with whole(path) as partial, open(partial, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def as_plain(value: Any) -> Any:
    """With Python's numbers in the place of NumPy's, which metrics give, in dicts and lists too."""
    if isinstance(value, dict):
        return {key: as_plain(below) for key, below in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Those measures of a validation that are one number, also NaN, as floats. Metrics of others give NumPy's numbers
    and tensors, too, and texts, lists, tables and None, which are left out."""
    found = {}
    for name, value in (metrics or {}).items():
        if set(getattr(value, 'shape', (0,))) <= {1}:  # of NumPy or PyTorch, a single one
            value = value.item()
        if isinstance(value, (int, float)):
            found[name] = float(value)
    return found


def of_one_class(measure: str) -> bool:
    """Whether a measure of a validation is the AP50 of a class, of which there may be many."""
    return f'/{BY_CLASS}' in f'/{measure}'


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image, (H, W, 3) or (H, W) uint8 in BGR, in the format of the suffix, that is there whole or not at all.

    Raises:
        OSError: as of any file, which OpenCV's own writing does not tell.
    """
    import cv2  # by those alone who draw

    written, content = cv2.imencode(Path(path).suffix, image)
    if not written:
        raise OSError(f'{path} cannot be written: {image.shape} pixels are too many for its format')
    with whole(path) as partial:
        partial.write_bytes(content)


@contextmanager
def written_list(path: str | Path) -> Iterator[Callable[[Any], None]]:
    """A function that adds an entry to a JSON file, a list of a line each. Where an exception ends that, the file has
    what was there by then, and is left as it was if that is nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, done, before = path.with_name(f'{path.name}.partial'), False, '\n'
    with open(partial, 'w', encoding='utf-8', buffering=1) as file:  # by lines, for the case of a kill
        file.write('[')

        def add(entry: Any) -> None:
            nonlocal before
            file.write(before + json.dumps(entry))
            before = ',\n'

        try:
            yield add
            done = True
        finally:
            file.write('\n]\n')
            file.close()
            if done or before != '\n':
                os.replace(partial, path)
            else:
                partial.unlink()


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Where to write what shall be at ``path`` once all of it is there; nothing is left where that fails."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [f'| {" | ".join(map(str, row))} |' for row in [header, ['---'] * len(header), *rows]]


def read_record(path: str | Path, remedy: str) -> dict[str, Any]:
    """A JSON file that one of our tools wrote.

    Args:
        path: of the file.
        remedy: what to type where it is missing or cannot be used.

    Raises:
        InputError: no such file, one that is half-written or something else, or one of another version.
    """
    try:
        record = json.loads(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise InputError(f'no result at {path} ({error.strerror}): {remedy}') from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'{path} is half-written or damaged ({error}): expected a whole JSON file. Delete it; then {remedy}'
        ) from error
    version = record.get('version') if isinstance(record, dict) else None
    if version != RESULT_VERSION:
        found = 'without a version' if version is None else f'of version {version}'
        raise InputError(
            f'{path} is {found}, from another release: expected version {RESULT_VERSION}. Delete it; then {remedy}'
        )
    return record
