"""A reproducible split of a folder in VOC layout that has none."""

import hashlib
from pathlib import Path

from mmnetaug.datasets.findings import Findings, missing_data
from mmnetaug.datasets.images import is_utf8
from mmnetaug.datasets.voc import annotations_by_name, images_by_name
from mmnetaug.errors import InputError


def split_voc(root: str | Path, share: float = 0.2, seed: int = 0) -> dict[str, list[str]]:
    """Write ``ImageSets/Main/trainval.txt`` and ``test.txt`` for the images that have annotations.

    An image is tested on if its name is among the first by SHA-256 of seed and name, so the split is the same on every
    machine, and an image that is added later moves few others. Copies of an image all go to the same part.

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
    if not 0 < share < 1:
        raise InputError(f'share {share} of images to test on: expected a number between 0 and 1, such as 0.2')
    folders = {name: root / name for name in ('Annotations', 'JPEGImages')}
    for folder in folders.values():
        if not folder.is_dir():
            raise InputError(f'no folder {folder}: expected Annotations (XML files) and JPEGImages (images) in {root}')
    lists = root / 'ImageSets' / 'Main'
    there = sorted(path.name for path in lists.glob('*.txt'))
    if there:
        raise InputError(f'{lists} has {", ".join(there)} already: nothing is replaced; move them away for a new split')

    images = images_by_name(folders['JPEGImages'])
    findings, names = Findings(), []
    for name in sorted(images.keys() & annotations_by_name(folders['Annotations']).keys()):
        if is_utf8(images[name]) and not {'\n', '\r'} & set(name):
            names.append(name)
        else:
            findings.add('images with names that no list can hold left out', repr(name))
    findings.report(str(root))
    first_of: dict[str, str] = {}  # content -> the name that decides for all its copies
    decides = {}
    for name in names:
        decides[name] = first_of.setdefault(hashlib.sha256(Path(images[name]).read_bytes()).hexdigest(), name)
    if len(first_of) < 2:
        raise InputError(
            f'{len(first_of)} different images with annotations in {root}: expected two or more, Annotations/NAME.xml '
            'for JPEGImages/NAME.jpg'
        )
    order = sorted(first_of.values(), key=lambda name: hashlib.sha256(f'{seed}/{name}'.encode()).digest())
    tested = set(order[: min(max(round(share * len(order)), 1), len(order) - 1)])
    sets = {
        'trainval.txt': [name for name in decides if decides[name] not in tested],
        'test.txt': [name for name in decides if decides[name] in tested],
    }
    lists.mkdir(parents=True, exist_ok=True)
    for file, content in sets.items():
        (lists / file).write_text('\n'.join(content) + '\n', encoding='utf-8')
    return sets
