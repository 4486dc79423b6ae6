"""Which images of a folder are trained on and which are tested on."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmnetaug.datasets.coco import FOUND_ANNOTATIONS, COCOAnnotations
from mmnetaug.datasets.findings import missing_data, read_lines
from mmnetaug.datasets.images import check_readable, is_image, paths_below
from mmnetaug.datasets.voc import LIST, class_names, images_by_name
from mmnetaug.datasets.yolo import has_images, read_data_yaml
from mmnetaug.errors import InputError

# Words in the name of a file or folder -> which part of a data set it is.
PARTS = {
    **dict.fromkeys(['train', 'training'], 'train'),
    **dict.fromkeys(['val', 'valid', 'validation'], 'val'),
    **dict.fromkeys(['test', 'testing'], 'test'),
    'trainval': 'trainval',
}
# What to train on and what to test on, best first.
PAIRS = (('train', 'val'), ('trainval', 'test'), ('train', 'test'), ('trainval', 'val'))
# Annotations of COCO that are of no boxes.
OTHER_TASKS = ('captions', 'person_keypoints', 'image_info', 'panoptic', 'stuff')
ROBOFLOW = '_annotations.coco.json'
NAME_THEM = 'Name them: --test-ann and --test-img, to train --train-ann and --train-img, too'


def find_detection_data(
    root: str | Path | None,
    classes: Sequence[str] | None = None,
    train: bool = True,
    files: dict[str, tuple[str, str | None]] | None = None,
) -> dict[str, Any]:
    """Recognise the layout of a folder and choose what to train and to test on.

    VOC: ``Annotations``, ``JPEGImages`` and ``ImageSets/Main`` in the folder itself, or in ``VOC2007`` and ``VOC2012``
    below it or below its ``VOCdevkit``. Testing takes test of VOC2007, or of the only folder; training takes trainval
    of all: the protocol of the VOC papers. Without a test set they are val and train.

    COCO: ``annotations/*.json`` beside the image folders. Training takes the file with the word "train" in its name,
    testing the one with "val" or "valid", or else "test"; "trainval" goes with "test". Or, as Roboflow exports it,
    ``train/_annotations.coco.json``, and ``valid`` or ``test``.

    YOLO: ``data.yaml``. Training takes its ``train``, testing its ``val``, or else ``test``.

    Args:
        root: the folder; None where ``files`` says all.
        classes: names of the classes to detect. All that occur, in alphabetical order for VOC and in that of the
            annotations otherwise, if None.
        train: look for images to train on as well. Without, some of ``classes`` may be missing.
        files: purpose ('train', 'test') -> annotations (a file in COCO format or a folder of VOC's) and the folder of
            their images, instead of what is found; images in the folder of the annotations if None.

    Returns:
        ``layout`` ('voc', 'coco' or 'yolo'), ``classes``, and for each purpose the arguments of a data set with its
        ``type``.

    Raises:
        InputError: no such folder, no such layout, nothing to train or to test on, or an unknown class name.
    """
    purposes = ['train', 'test'] if train else ['test']
    if files:
        return _named(files, purposes, classes)
    root = Path(root)
    missing_data(root)
    for find in (_find_voc, _find_coco, _find_yolo):
        found = find(root, purposes, classes)
        if found:
            return found
    for folder in _voc_places(root):
        if (folder / 'Annotations').is_dir() and (folder / 'JPEGImages').is_dir():
            raise InputError(
                f'{folder} has Annotations and JPEGImages, and no ImageSets/Main that says which to train and to test '
                f'on: `mmnetaug split {folder}` writes it'
            )
    for folder in (root / 'annotations', root / 'coco' / 'annotations'):
        if folder.is_dir():
            os.listdir(folder)  # says where that is not allowed, which a pattern does not
    raise InputError(
        f'{root} is in neither VOC, COCO nor YOLO layout: expected Annotations, JPEGImages and ImageSets/Main in it '
        f'(or in {root / "VOC2007"}), annotations/*.json, train/{ROBOFLOW}, or data.yaml; it holds '
        f'{", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"}. {NAME_THEM}'
    )


# --- VOC ---


def _voc_places(root: Path) -> list[Path]:
    return [root, *(folder / year for folder in (root, root / 'VOCdevkit') for year in ('VOC2007', 'VOC2012'))]


def _image_set(folder: Path, names: Sequence[str]) -> Path:
    lists = folder / 'ImageSets' / 'Main'
    there = [lists / f'{name}.txt' for name in names if (lists / f'{name}.txt').is_file()]
    if there:
        return next((path for path in there if read_lines(path, LIST)), there[0])
    expected = ' or '.join(f'{name}.txt' for name in names)
    advice = 'Write one' if any(lists.glob('*.txt')) else f'`mmnetaug split {folder}` writes them'
    raise InputError(f'{lists} has no {expected}: expected a list of image names, one a line. {advice}')


def _find_voc(root: Path, purposes: list[str], classes: Sequence[str] | None) -> dict[str, Any] | None:
    folders = [
        folder
        for folder in _voc_places(root)
        if (folder / 'Annotations').is_dir() and (folder / 'ImageSets' / 'Main').is_dir()
    ]
    if not folders:
        return None
    if folders[0] == root:
        folders = [root]
    sets = {'test': [_image_set(folders[0], ('test', 'val'))]}
    if 'train' in purposes:
        # trainval contains val: what is tested on is not trained on
        tested = {folder for folder in folders if folder / 'ImageSets/Main/val.txt' in sets['test']}
        sets['train'] = [_image_set(each, ('train',) if each in tested else ('trainval', 'train')) for each in folders]
    names = set()
    for path in (path for paths in sets.values() for path in paths):
        folder = path.parents[2]
        names |= class_names(folder / 'Annotations', path, images_by_name(folder / 'JPEGImages'))
    common = os.path.commonpath(folders)
    return {
        'layout': 'voc',
        'classes': _choose_classes(sorted(names), classes, folders[0], 'train' in purposes),
        **{
            purpose: {
                'type': 'mmnetaug.VOCDetection',
                'data_root': common,
                'ann_file': [os.path.relpath(path, common) for path in paths],
            }
            for purpose, paths in sets.items()
        },
    }


# --- COCO ---


def _find_coco(root: Path, purposes: list[str], classes: Sequence[str] | None) -> dict[str, Any] | None:
    for folder in (root, root / 'coco'):
        inside = sorted(folder.glob(f'*/{ROBOFLOW}'))
        inside = [path for path in inside if _has_image(path.parent)] or inside
        files = inside or sorted((folder / 'annotations').glob('[!.]*.json'))
        if files:
            break
    else:
        return None
    name = (lambda path: path.parent.name) if inside else (lambda path: path.stem)
    chosen = _by_words(files, purposes, name, folder)
    return _coco({purpose: (path, None) for purpose, path in chosen.items()}, classes, folder)


def _has_image(folder: Path) -> bool:
    return any(map(is_image, paths_below(folder)))


def _by_words(files: list[Path], purposes: list[str], name: Callable[[Path], str], place: Path) -> dict[str, Path]:
    """Purpose -> file, by the words of the files' names; "trainval" is no "val"."""
    files = [path for path in files if not path.name.startswith(OTHER_TASKS)] or files
    parts = defaultdict(list)
    for path in files:
        named = [PARTS[word] for word in re.findall('[a-z]+', name(path).lower()) if word in PARTS] or [None]
        parts['trainval' if {*named} >= {'train', 'val'} else named[0]].append(path)
    for pair in PAIRS:
        found = {purpose: parts[part] for purpose, part in zip(('train', 'test'), pair) if purpose in purposes}
        if all(found.values()):
            several = [(purpose, paths) for purpose, paths in found.items() if len(paths) > 1]
            if several:
                purpose, paths = several[0]
                listed = ', '.join(str(path.relative_to(place)) for path in paths)
                raise InputError(f'{place} has several files to {purpose} on ({listed}): expected one. {NAME_THEM}')
            return {purpose: paths[0] for purpose, paths in found.items()}
    purpose = 'train' if 'train' in purposes and not (parts['train'] or parts['trainval']) else 'test'
    words = {'train': '"train" or "trainval"', 'test': '"val" or "test"'}
    raise InputError(
        f'{place} has no file with the word {words[purpose]} in its name to {purpose} on: expected such as '
        f'annotations/instances_{"train" if purpose == "train" else "val"}2017.json; it has '
        f'{", ".join(str(path.relative_to(place)) for path in files)}. {NAME_THEM}'
    )


def _image_folder(root: Path, path: Path, annotations: COCOAnnotations) -> Path:
    """The folder that the images of an annotation file are in."""
    names = [image['file_name'] for image in annotations.dataset['images']]
    if not names:
        raise InputError(f'{path} lists no image: expected one or more under images. {NAME_THEM}')
    split = path.stem.replace('instances_', '')
    candidates = [path.parent] if path.name == ROBOFLOW else []
    candidates += [root / split, root / 'images' / split, root / 'images', root / 'JPEGImages', root]
    folder = next((folder for folder in candidates if any(os.path.isfile(folder / name) for name in names)), None)
    if folder is None:
        for candidate in candidates:
            check_readable(candidate / names[0])
        raise InputError(
            f'the images of {path} are missing: looked for {", ".join(names[:2])} in '
            f'{", ".join(str(folder) for folder in candidates)}. {NAME_THEM}'
        )
    return folder


def _coco(
    places: dict[str, tuple[Path, Path | None]], classes: Sequence[str] | None, root: Path | None = None
) -> dict[str, Any]:
    """``places``: purpose -> annotations and folder of their images; None for one to be found below ``root``."""
    read = {purpose: FOUND_ANNOTATIONS.look(path) for purpose, (path, _) in places.items()}
    names = {purpose: annotations.class_names() for purpose, annotations in read.items()}
    folders = {
        purpose: folder or _image_folder(root, path, read[purpose]) for purpose, (path, folder) in places.items()
    }
    first = next(iter(names))  # to train on, where there is something
    chosen = _choose_classes(names[first], classes, places[first][0], 'train' in names)
    if not set(chosen) & set(names['test']):
        raise InputError(
            f'the categories in {places["test"][0]} ({", ".join(names["test"])}) are others than those in '
            f'{places[first][0]} ({", ".join(chosen)}): expected the same names'
        )
    found = {}
    for purpose, (path, _) in places.items():
        folder = folders[purpose]
        base = root or folder
        found[purpose] = {
            'type': 'mmnetaug.COCODetection',
            'data_root': str(base),
            'ann_file': str(path.relative_to(root) if root else path.absolute()),
            'data_prefix': {'img': '' if folder == base else str(folder.relative_to(base))},
        }
    return {'layout': 'coco', 'classes': chosen, **found}


# --- YOLO ---


def _find_yolo(root: Path, purposes: list[str], classes: Sequence[str] | None) -> dict[str, Any] | None:
    path = next((root / name for name in ('data.yaml', 'dataset.yaml', 'data.yml') if (root / name).is_file()), None)
    if path is None:
        return None
    content = read_data_yaml(path)
    found = {}
    for purpose in purposes:
        keys = ('train',) if purpose == 'train' else ('val', 'test')
        given = [key for key in keys if content.get(key)]
        if not given:
            raise InputError(
                f'{path} has no {" or ".join(keys)} to {purpose} on: expected a folder of images, such as '
                f'"{keys[0]}: images/{keys[0]}"'
            )
        key = next((key for key in given if has_images(path, content, key)), given[0])
        found[purpose] = {
            'type': 'mmnetaug.YOLODetection',
            'data_root': str(root),
            'ann_file': path.name,
            'split': key,
        }
    return {
        'layout': 'yolo',
        'classes': _choose_classes(content['names'], classes, path, 'train' in purposes),
        **found,
    }


# --- what a person names ---


def _named(
    files: dict[str, tuple[str, str | None]], purposes: list[str], classes: Sequence[str] | None
) -> dict[str, Any]:
    missing = [f'--{purpose}-ann' for purpose in purposes if purpose not in files]
    if missing:
        raise InputError(f'{" and ".join(missing)} missing: expected annotations to {" and to ".join(purposes)} on')
    places = {}
    for purpose in purposes:
        annotations = Path(files[purpose][0])
        folder = Path(files[purpose][1] or (annotations if annotations.is_dir() else annotations.parent))
        for flag, place, there in (('ann', annotations, annotations.exists()), ('img', folder, folder.is_dir())):
            if not there:
                raise InputError(f'--{purpose}-{flag} {place}: nothing there')
        places[purpose] = annotations, folder
    kinds = {annotations.is_dir() for annotations, _ in places.values()}
    if kinds == {False}:
        return _coco(places, classes)
    if kinds != {True}:
        raise InputError('annotations of two layouts: expected two files in COCO format, or two folders of VOC files')
    names = set()
    for annotations, _ in places.values():
        names |= class_names(annotations, None, {})
    chosen = _choose_classes(sorted(names), classes, places['test'][0], 'train' in purposes)
    return {
        'layout': 'voc',
        'classes': chosen,
        **{
            purpose: {
                'type': 'mmnetaug.VOCDetection',
                'data_root': '',
                'ann_file': str(annotations.absolute()),
                'data_prefix': {'img': str(folder.absolute())},
            }
            for purpose, (annotations, folder) in places.items()
        },
    }


def _choose_classes(existing: list[str], wanted: Sequence[str] | None, place: Path, all_there: bool) -> list[str]:
    """The classes to detect, in the order of ``existing``; in the order given where some may be missing."""
    if not existing:
        raise InputError(f'the annotations in {place} name no class: expected at least one object')
    if not wanted:
        return existing
    unknown = [name for name in wanted if name not in existing]
    if unknown and (all_there or len(unknown) == len(wanted)):
        raise InputError(f'no class {", ".join(unknown)} in {place}: expected some of {", ".join(existing)}')
    return [name for name in existing if name in wanted] if all_there else list(wanted)
