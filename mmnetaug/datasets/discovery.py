"""Which images of a folder are trained on and which are tested on."""

import json
import math
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmnetaug.datasets.findings import Findings, missing_data
from mmnetaug.datasets.voc import UNREADABLE_XML, image_set_file, image_set_ids, object_names
from mmnetaug.errors import InputError


def find_detection_data(root: str | Path, classes: Sequence[str] | None = None) -> dict:
    """Recognise the layout of a folder and choose what to train and to test on.

    VOC: ``Annotations``, ``JPEGImages`` and ``ImageSets/Main`` in the folder itself, or in ``VOC2007`` and ``VOC2012``
    below it or below its ``VOCdevkit``. Testing takes test of VOC2007, or of the only folder; training takes trainval
    of all: the protocol of the VOC papers. Without a test set they are val and train.

    COCO: ``annotations/*.json`` beside the image folders. Training takes the file with "train" in its name, testing
    the one with "val", or else "test".

    Args:
        root: the folder.
        classes: names of the classes to detect. All that occur, in alphabetical order for VOC and in that of the
            categories for COCO, if None.

    Returns:
        ``layout`` ('voc' or 'coco'), ``classes``, ``train`` and ``test``: arguments of :class:`VOCDetection` or
        :class:`COCODetection`, and ``findings``: annotation file -> :class:`Findings` of what belongs to no image.

    Raises:
        InputError: no such folder, neither layout, nothing to train or to test on, or an unknown class name.
    """
    root = Path(root)
    missing_data(root)
    below = [root, root / 'VOCdevkit']
    folders = [root] if _is_voc(root) else [f / n for f in below for n in ('VOC2007', 'VOC2012') if _is_voc(f / n)]
    if folders:
        return _find_voc(folders, classes)
    for folder in (root, root / 'coco'):
        if any((folder / 'annotations').glob('*.json')):
            return _find_coco(folder, classes)
    raise InputError(
        f'{root} is in neither VOC nor COCO layout: expected Annotations, JPEGImages and ImageSets/Main in it (or in '
        f'{root / "VOC2007"}), or annotations/*.json; it holds '
        f'{", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"}'
    )


def _is_voc(folder: Path) -> bool:
    return (folder / 'Annotations').is_dir() and (folder / 'ImageSets' / 'Main').is_dir()


def _first_set(folder: Path, names: Sequence[str]) -> tuple[Path, str]:
    for name in names:
        if image_set_file(folder, name).is_file():
            return folder, name
    expected = ' or '.join(f'{name}.txt' for name in names)
    raise InputError(f'{folder / "ImageSets" / "Main"} has no {expected}: expected a list of image names, one a line')


def _find_voc(folders: list[Path], classes: Sequence[str] | None) -> dict:
    test = [_first_set(folders[0], ('test', 'val'))]
    # trainval contains val: what is tested on is not trained on
    train = [_first_set(folder, ('train',) if (folder, 'val') in test else ('trainval', 'train')) for folder in folders]
    names = set()
    for folder, image_set in (*train, *test):
        for image_id in image_set_ids(folder, image_set):
            try:
                names.update(object_names(ElementTree.parse(folder / 'Annotations' / f'{image_id}.xml')))
            except (OSError, *UNREADABLE_XML):
                continue  # the data set itself reports broken annotations
    chosen = _choose_classes(sorted(names - {None}), classes, folders[0])
    root = Path(os.path.commonpath(folders))
    arguments = [
        {'data_root': str(root), 'ann_file': [str(image_set_file(*each).relative_to(root)) for each in sets]}
        for sets in (train, test)
    ]
    return {'layout': 'voc', 'classes': chosen, 'train': arguments[0], 'test': arguments[1], 'findings': {}}


def _find_coco(root: Path, classes: Sequence[str] | None) -> dict:
    files = sorted((root / 'annotations').glob('*.json'))
    detection = [path for path in files if not path.name.startswith(('captions', 'person_keypoints', 'image_info'))]
    chosen, categories, findings = {}, {}, {}
    for purpose, words in {'train': ('train',), 'test': ('val', 'test')}.items():
        path = next((path for word in words for path in detection if word in path.stem), None)
        if path is None:
            raise InputError(
                f'{root / "annotations"} has no file with "{" or ".join(words)}" in its name to {purpose} on: expected '
                f'such as instances_{words[0]}2017.json; it holds {", ".join(path.name for path in files)}'
            )
        chosen[purpose], categories[purpose], findings[str(path)] = _read_coco(root, path)
    names = _choose_classes(categories['train'], classes, root)
    # mmdet and its metric number the classes in the order of each file's categories
    names = [name for name in categories['train'] if name in names]
    if names != [name for name in categories['test'] if name in names]:
        raise InputError(
            f'the categories in {root / chosen["test"]["ann_file"]} differ from those in '
            f'{root / chosen["train"]["ann_file"]}: '
            'expected the same names in the same order'
        )
    return {'layout': 'coco', 'classes': names, **chosen, 'findings': findings}


def _read_coco(root: Path, path: Path) -> tuple[dict, list[str], Findings]:
    """The arguments of a data set for an annotation file, the names of its categories, and what belongs to nothing."""
    try:
        content = json.loads(path.read_text())
        categories = [category['name'] for category in content['categories']]
        names = [image['file_name'] for image in content['images']]
        findings = _check_coco(path, content)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f'{path} is no COCO annotation file ({error!r}): expected images with id and file_name, categories with '
            'id and name, and annotations with id, image_id, category_id and bbox'
        ) from error
    split = path.stem.replace('instances_', '')
    candidates = [root / split, root / 'images' / split, root / 'images', root / 'JPEGImages', root]
    folder = next((folder for folder in candidates if any((folder / name).is_file() for name in names[:20])), None)
    if folder is None:
        raise InputError(
            f'the images of {path} are missing: looked for {", ".join(names[:2]) or "none"} in '
            f'{", ".join(str(folder) for folder in candidates)}'
        )
    arguments = {
        'data_root': str(root),
        'ann_file': str(path.relative_to(root)),
        'data_prefix': {'img': '' if folder == root else str(folder.relative_to(root))},
    }
    return arguments, categories, findings


def _check_coco(path: Path, content: dict) -> Findings:
    """Refuse annotations that pycocotools would stumble over, and say which of them belong to nothing."""
    for part, key in [('images', 'id'), ('categories', 'id'), ('categories', 'name'), ('annotations', 'id')]:
        value, count = Counter(entry[key] for entry in content[part]).most_common(1)[0] if content[part] else (None, 1)
        if count > 1:
            raise InputError(f'{path} has {count} {part} with {key} {value}: expected each to have its own')
    images = {image['id']: os.fspath(image['file_name']) for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    findings = Findings()
    for annotation in content['annotations']:
        number, box = annotation['id'], annotation['bbox']
        if len(box) != 4 or not all(math.isfinite(edge) for edge in box):
            raise InputError(f'{path}: bbox {box} of annotation {number}: expected [x, y, width, height] in pixels')
        if annotation['image_id'] not in images:
            findings.add('annotations of no image left out', f'annotation {number}')
        elif annotation['category_id'] not in categories:
            findings.add('annotations of an unknown category left out', images[annotation['image_id']])
    findings.report(str(path))
    return findings


def _choose_classes(existing: list[str], wanted: Sequence[str] | None, place: Path) -> list[str]:
    if not existing:
        raise InputError(f'the annotations in {place} name no class: expected at least one object')
    unknown = [name for name in wanted or () if name not in existing]
    if unknown:
        raise InputError(f'no class {", ".join(unknown)} in {place}: expected some of {", ".join(existing)}')
    return sorted(set(wanted)) if wanted else existing
