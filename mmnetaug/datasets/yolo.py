"""YOLO layout, as Ultralytics reads it."""

import glob
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mmdet.datasets.base_det_dataset import BaseDetDataset

from mmnetaug.datasets.findings import ReportsFindings, missing_data, read_lines, read_utf8, usable_box
from mmnetaug.datasets.images import IMAGE_SUFFIXES, check_readable, images_below
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError, printable
from mmnetaug.registry import DATASETS

NO_LABELS = ('classes.txt', 'train.txt', 'val.txt', 'test.txt', 'notes.txt')  # though they lie among them
EXPECTED = 'a mapping with names (list, or number: name), train and val (folders of images, or lists of them)'


def read_data_yaml(path: Path) -> dict[str, Any]:
    """``data.yaml`` with ``names`` as a list in the order of the class numbers.

    Raises:
        InputError: it is none.
    """
    try:
        content = yaml.safe_load(read_utf8(path, EXPECTED))
        names = content.get('names')
        if isinstance(names, str):
            raise InputError(f'{path}: names is the text {names!r}: expected a list, such as names: [{names}]')
        if names is None:
            names = [f'class_{number}' for number in range(int(content['nc']))]
        if isinstance(names, dict):
            numbered = {int(number): name for number, name in names.items()}
            if set(numbered) != set(range(len(numbered))):
                raise ValueError(f'names of {sorted(numbered)}, which should be numbers from 0 on')
            names = [numbered[number] for number in range(len(names))]
        names = [printable(name).strip() for name in names]
        if not names or len(set(names)) < len(names) or not all(names):
            raise ValueError(f'names {names}, which should be one or more, all different')
    except InputError:
        raise
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f'{path} is no data.yaml of YOLO ({error!r}): expected {EXPECTED}') from error
    return {**content, 'names': names}


@DATASETS.register_module()
class YOLODetection(SeededSamples, ReportsFindings, BaseDetDataset):
    """A data set in YOLO layout: ``data.yaml``, ``images`` and ``labels``.

    For each image ``.../images/NAME.jpg`` there is ``.../labels/NAME.txt`` with a line an object: number of the class,
    then centre x, centre y, width and height as shares of the image's sides, or the corners of a polygon. An image
    without such a file has no objects.

    Args:
        ann_file: path of ``data.yaml``.
        split: the images by their key in it: ``train``, ``val`` or ``test``.
        data_root: where ``ann_file`` starts.
        kwargs: as in mmdet's data sets; ``metainfo=dict(classes=...)`` for some of the names, or in another order.

    Raises:
        InputError: no such file, nothing in it for ``split``, or no image with an object is left.
    """

    def __init__(
        self, ann_file: str, split: str, data_root: str = '', metainfo: dict | None = None, **kwargs: Any
    ) -> None:
        self.yaml = Path(data_root) / ann_file
        if not self.yaml.is_file():
            missing_data(data_root or self.yaml.parent)
        self.content, self.split = read_data_yaml(self.yaml), split
        metainfo = metainfo or {'classes': self.content['names']}
        super().__init__(ann_file=f'{self.yaml} ({split})', data_root=None, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        label = {name: place for place, name in enumerate(self.metainfo['classes'])}
        self.labels = [label.get(name) for name in self.content['names']]
        infos = []
        paths = list(dict.fromkeys(split_images(self.yaml, self.content, self.split)))
        for folder in dict.fromkeys(path.parent for path in paths):
            for name in _without_image(folder):
                self.findings.add('annotations without image left out', name)
        for path in paths:
            size = self.usable_image(path, self.yaml.parent)
            if size is not None:
                info = {'img_path': str(path), 'img_id': len(infos), 'width': size[0], 'height': size[1]}
                infos.append({**info, 'instances': self._instances(labels_of(path), size)})
        return infos

    def _instances(self, path: Path, size: tuple[int, int]) -> list[dict]:
        instances: list[dict] = []
        if not os.path.isfile(path):  # not Path.is_file, which fails for names that are too long
            check_readable(path)
            return instances
        try:
            lines = read_utf8(path, 'labels').splitlines()
        except InputError:
            check_readable(path)
            self.findings.add('files of labels that are no text left out', path.name)
            return instances
        keypoints = 'kpt_shape' in self.content
        for line in dict.fromkeys(line.strip() for line in lines if line.strip()):
            read = _read_line(' '.join(line.split()[:5]) if keypoints else line, size)  # they follow the box
            if read is None or not 0 <= read[0] < len(self.labels):
                self.findings.add('lines of labels that are none, or of an unknown class, left out', path.name)
            elif self.labels[read[0]] is not None:
                box = usable_box(read[1], size, self.findings, path.name)
                if box is not None:
                    instances.append({'bbox': box, 'bbox_label': self.labels[read[0]], 'ignore_flag': 0})
        return instances

    def filter_data(self) -> list[dict]:
        infos = super().filter_data()
        least = (self.filter_cfg or {}).get('min_size', 0)
        return infos if self.test_mode else [info for info in infos if min(info['width'], info['height']) >= least]


def _read_line(line: str, size: tuple[int, int]) -> tuple[int, list[float]] | None:
    """Number of the class and box (x1, y1, x2, y2 in pixels) of a line of labels, None if it is none."""
    try:
        number, *shares = (float(part) for part in line.split())
    except ValueError:
        return None
    if number != number // 1 or not math.isfinite(number) or not all(map(math.isfinite, shares)):
        return None
    if len(shares) == 4:
        x, y, width, height = shares
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    elif len(shares) >= 6 and len(shares) % 2 == 0:
        box = [min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])]
    else:
        return None
    if min(box) < -1 or max(box) > 2:  # pixels, not shares
        return None
    return int(number), [share * side for share, side in zip(box, (*size, *size))]


def labels_of(image: Path) -> Path:
    """The file of labels of an image: ``labels`` for the last ``images`` of its path, ``.txt`` for its suffix."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def _without_image(folder: Path) -> list[str]:
    """The files of labels of a folder of images that belong to none of them."""
    labels = labels_of(folder / 'image.jpg').parent
    if labels == folder or not os.path.isdir(labels) or not os.path.isdir(folder):
        return []
    images = {os.path.splitext(name)[0] for name in os.listdir(folder)}
    names = sorted(name for name in os.listdir(labels) if name.endswith('.txt') and name not in NO_LABELS)
    return [name for name in names if os.path.splitext(name)[0] not in images]


def split_images(path: Path, content: dict[str, Any], split: str) -> Iterator[Path]:
    """The images of a split of ``data.yaml``: those of folders, of lists of images, or of patterns.

    Raises:
        InputError: there is nothing for this split.
    """
    given = content.get(split)
    places = given if isinstance(given, list) else [given]
    if not given or not all(isinstance(place, str) for place in places):
        raise InputError(f'{path} has nothing to read under {split}: expected a folder of images, or a list of them')
    for place in places:
        source = _resolve(path, content, place)
        if os.path.isdir(source):
            yield from images_below(source)
        elif os.path.isfile(source):
            for line in read_lines(source, 'a list of images, one a line'):
                line = line if os.path.exists(source.parent / line) else line.strip()
                image = source.parent / line
                yield image if os.path.exists(image) else _resolve(path, content, line)
        else:
            found = sorted(
                base / name
                for base, pattern in _candidates(path, content, place)
                for name in glob.glob(pattern, root_dir=base, recursive=True)
            )
            if not found:
                raise InputError(f'{path}: {split} is {place}, and there is nothing at {source}')
            for one in found:
                yield from images_below(one) if one.is_dir() else [one] if one.suffix.lower() in IMAGE_SUFFIXES else []


def has_images(path: Path, content: dict[str, Any], split: str) -> bool:
    """Whether a split of ``data.yaml`` has an image."""
    try:
        return any(os.path.isfile(image) for image in split_images(path, content, split))
    except InputError:
        return False


def _candidates(path: Path, content: dict[str, Any], place: str) -> list[tuple[Path, str]]:
    """Where a place that ``data.yaml`` names may be: below its ``path``, or beside it where that leads nowhere, also
    without the ``../`` that Roboflow's exports begin with."""
    root = content.get('path')
    roots = [path.parent / root, path.parent] if isinstance(root, str) else [path.parent]
    return [(base, name) for base in roots for name in dict.fromkeys([place, place.removeprefix('../')])]


def _resolve(path: Path, content: dict[str, Any], place: str) -> Path:
    """The first of :func:`_candidates` that is there."""
    candidates = [base / name for base, name in _candidates(path, content, place)]
    return next((candidate for candidate in candidates if os.path.exists(candidate)), candidates[0])
