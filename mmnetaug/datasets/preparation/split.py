"""A reproducible split of images that have none, in VOC layout or one folder a class."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mmnetaug.datasets.findings import Findings, missing_data
from mmnetaug.datasets.image_folder import class_folders
from mmnetaug.datasets.images import images_below, is_utf8
from mmnetaug.datasets.voc import annotations_by_name, images_by_name
from mmnetaug.errors import InputError
from mmnetaug.records import write_text


def split_voc(root: str | Path, share: float = 0.2, seed: int = 0) -> dict[str, list[str]]:
    """Write ``ImageSets/Main/trainval.txt`` and ``test.txt`` for the images that have annotations.

    An image is tested on if its name is among the first by SHA-256 of seed and name, so the split is the same on every
    machine, and an image that is added later moves few others. Copies of an image all go to the same part.
    Where one file cannot be written, neither is left.

    Args:
        root: folder with ``Annotations`` and ``JPEGImages``.
        share: of the images to test on, above 0 and below 1.
        seed: for another split.

    Returns:
        File name -> names of images in it, in alphabetical order.

    Raises:
        InputError: no such folder, fewer than two different images, or a split that is there already.
    """
    root = Path(root)
    missing_data(root)
    _check_share(share)
    folders = {name: root / name for name in ('Annotations', 'JPEGImages')}
    for folder in folders.values():
        if not folder.is_dir():
            raise InputError(
                f'no folder {folder}: expected Annotations (XML files) and JPEGImages (images) in {root}; images in '
                'one folder a class are divided with --out DIR'
            )
    lists = root / 'ImageSets' / 'Main'
    there = sorted(path.name for path in lists.glob('*.txt'))
    if there:
        raise InputError(f'{lists} has {", ".join(there)} already: nothing is replaced; move them away for a new split')

    images = images_by_name(folders['JPEGImages'])
    annotations = annotations_by_name(folders['Annotations'])
    findings, names = Findings(), []
    for name in sorted(images.keys() - annotations.keys()):
        findings.add('images without annotations left out', Path(images[name]).name)
    for name in sorted(annotations.keys() - images.keys()):
        findings.add('annotations without an image left out', Path(annotations[name]).name)
    for name in sorted(images.keys() & annotations.keys()):
        if is_utf8(images[name]) and not {'\n', '\r'} & set(name):
            names.append(name)
        else:
            findings.add('images with names that no list can hold left out', repr(name))
    findings.report(str(root))
    originals = _originals(root, [Path(images[name]) for name in names])
    name_of = dict(zip(originals, names, strict=True))
    decides = {name_of[path]: name_of[original] for path, original in originals.items()}
    different = set(decides.values())
    if len(different) < 2:
        raise InputError(
            f'{len(different)} different images with annotations in {root}: expected two or more, Annotations/NAME.xml '
            'for JPEGImages/NAME.jpg'
        )
    tested = _drawn(different, share, seed)
    sets = {
        'trainval.txt': [name for name in decides if decides[name] not in tested],
        'test.txt': [name for name in decides if decides[name] in tested],
    }
    lists.mkdir(parents=True, exist_ok=True)
    try:
        for file, content in sets.items():
            write_text(lists / file, '\n'.join(content) + '\n')
    except BaseException:  # one list alone would pass for a split
        for file in sets:
            (lists / file).unlink(missing_ok=True)
        raise
    return sets


def split_folders(root: str | Path, out: str | Path, share: float = 0.2, seed: int = 0) -> dict[str, int]:
    """Make a folder with ``train/CLASS`` and ``val/CLASS`` of links to images that lie in one folder a class.

    The share is taken of each class, by SHA-256 of seed and name as in :func:`split_voc`. Copies of an image within a
    class all go to the same part.

    Args:
        root: folder with one folder a class.
        out: folder to make.
        share: of the images of each class to validate on, above 0 and below 1.
        seed: for another split.

    Returns:
        ``train`` and ``val`` -> number of images.

    Raises:
        InputError: fewer than two classes, a class with fewer than two different images, folders that are divided
            already, ``out`` is there already or within ``root``, or its file system has no symbolic links.
    """
    root, out = Path(root).resolve(), Path(out).resolve()
    _check_share(share)
    if not root.is_dir():
        raise InputError(f'no folder {root}: expected one with images in one folder a class')
    classes = set(class_folders(root))
    if {'Annotations', 'JPEGImages'} <= classes:
        raise InputError(f'{root} is in VOC layout: leave out --out')
    if classes <= {'train', 'val', 'test'}:
        raise InputError(
            f'{root} is divided already, into {", ".join(sorted(classes))}: give one of these to divide it'
        )
    if out.exists() or out.is_relative_to(root):
        raise InputError(f'--out {out}: expected a new folder outside of {root}; nothing is replaced')
    parts: dict[str, list[str]] = {'train': [], 'val': []}
    for name in sorted(classes):
        originals = _originals(root, images_below(root / name))
        different = set(originals.values())
        if len(different) < 2:
            raise InputError(f'{len(different)} different images in {root / name}: expected two or more in each class')
        drawn = _drawn(different, share, seed)
        for path, original in originals.items():
            parts['val' if original in drawn else 'train'].append(path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}.') as partial:
            made = Path(partial, out.name)
            for part, paths in parts.items():
                for path in paths:
                    link = made / part / path
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(root / path)
            made.rename(out)
    except OSError as error:
        raise InputError(f'{out} cannot be made ({error}): expected --out where there can be symbolic links') from error
    return {part: len(paths) for part, paths in parts.items()}


def _originals(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Each image -> the first one with the same content, below ``root``; only files of one size are read."""
    sizes = {path: path.stat().st_size for path in paths if path.exists()}
    count, originals = Counter(sizes.values()), {}
    first_of: dict[str | int, str] = {}
    for path, size in sizes.items():
        content = hashlib.sha256(path.read_bytes()).hexdigest() if count[size] > 1 else size
        name = path.relative_to(root).as_posix()  # which decides, on all systems alike
        originals[name] = first_of.setdefault(content, name)
    return originals


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f'share {share} of images to test on: expected a number between 0 and 1, such as 0.2')


def _drawn(names: Iterable[str], share: float, seed: int) -> set[str]:
    """A share of the names, at least one and not all: the first by SHA-256 of seed and name."""
    order = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(f'{seed}/{name}')).digest())
    return set(order[: min(max(round(share * len(order)), 1), len(order) - 1)])
