"""COCO layout."""

import contextlib
import io
import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO

from mmnetaug.datasets.findings import Findings, ReportsFindings, is_set, missing_data, read_utf8, usable_box
from mmnetaug.datasets.known_files import HandedOn, without_collection
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError, printable
from mmnetaug.registry import DATASETS

EXPECTED = (
    'images with id and file_name, categories with id and name, and annotations with image_id, category_id and bbox'
)


class COCOAnnotations(COCO):
    """pycocotools' ``COCO`` of a file whose entries are brought into order; what cannot be is left out and counted.

    Annotations are numbered anew from 1 (``COCOeval`` takes a match with number 0 for none), have the area of their box
    where theirs is none, and those to be ignored count as crowds, which ``COCOeval`` does not punish. A category
    without an object that all others name as their supercategory is none (Roboflow's exports have one).

    Args:
        path: of the file.

    Attributes:
        findings: what was left out.

    Raises:
        InputError: no COCO annotation file, or categories that cannot be told apart.
    """

    @without_collection()
    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.findings = Findings()
        try:
            content = json.loads(read_utf8(Path(path), 'annotations in COCO format'))
            parts = [content[part] for part in ('images', 'categories', 'annotations')]
            if not all(isinstance(part, list) for part in parts):
                raise TypeError('a part that is no list')
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f'{path} is no COCO annotation file ({error!r}): expected {EXPECTED}') from error
        images = self._images(parts[0])
        categories = _categories(parts[1], parts[2], path, self.findings)
        given = [category['id'] for category in categories]
        _unify(categories)
        numbers = dict(zip(given, (category['id'] for category in categories)))
        annotations = self._annotations(parts[2], images, numbers)
        images = list({image['id']: image for image in images.values()}.values())
        self.dataset = {'images': images, 'categories': categories, 'annotations': annotations}
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names: Any = (), *_: Any) -> list[int]:
        """The id of each name in the order of the names; a negative one for a name that is not there."""
        ids = {category['name']: category['id'] for category in self.dataset['categories']}
        return [ids.get(name, -1 - place) for place, name in enumerate(cat_names)]

    def class_names(self) -> list[str]:
        """Names of the categories in the order of the file."""
        return [category['name'] for category in self.dataset['categories']]

    def _images(self, entries: list) -> dict[Any, dict]:
        """Id -> image, with ids that are all numbers or all text; all ids of a file lead to its first entry."""
        images: dict[Any, dict] = {}
        of_file: dict[str, dict] = {}
        self.again: set[str] = set()
        for place, entry in enumerate(entries, 1):
            number = _identifier(entry)
            if number is None or not isinstance(entry.get('file_name'), str) or not entry['file_name']:
                self.findings.add('entries of images without id or file_name left out', f'image {place}')
            elif number in images:
                self.findings.add('images with the id of another left out', entry['file_name'])
            else:
                size = {side: int(_number(entry.get(side)) or 0) for side in ('width', 'height')}
                name = entry['file_name'].replace('\\', '/')
                if name in of_file:
                    self.findings.add('images that are listed again, with another id, taken together', name)
                    self.again.add(name)
                images[number] = of_file.setdefault(name, {'id': number, 'file_name': name, **size})
        _unify(list(of_file.values()))
        return images

    def _annotations(self, entries: list, images: dict[Any, dict], categories: dict[Any, Any]) -> list[dict]:
        kept, seen = [], set()
        for place, entry in enumerate(entries, 1):
            image = images.get(_identifier(entry, 'image_id'))
            if image is None:
                self.findings.add('annotations of no image left out', f'annotation {place}')
                continue
            category, name = _identifier(entry, 'category_id'), image['file_name']
            if category not in categories:
                self.findings.add('annotations of an unknown category left out', name)
                continue
            box = _box(entry.get('bbox'))
            if box is None:
                self.findings.add('annotations without a box left out', name)
            elif min(box[2:]) <= 0:
                self.findings.add('boxes without area left out', name)
            elif name not in self.again or _first((name, categories[category], *box), seen):
                area = _number(entry.get('area'))
                kept.append(
                    {
                        'id': len(kept) + 1,
                        'image_id': image['id'],
                        'category_id': categories[category],
                        'bbox': box,
                        'area': area if area and area > 0 else box[2] * box[3],
                        'iscrowd': int(is_set(entry.get('iscrowd')) or is_set(entry.get('ignore'))),
                    }
                )
        return kept


def _categories(entries: list, annotations: list, path: str | Path, findings: Findings) -> list[dict]:
    found = []
    for place, entry in enumerate(entries, 1):
        number = _identifier(entry)
        name = printable(entry['name']).strip() if isinstance(entry, dict) and entry.get('name') is not None else ''
        if number is None or not name:
            findings.add('entries of categories without id or name left out', f'category {place}')
        else:
            found.append({'id': number, 'name': name, 'above': entry.get('supercategory')})
    used = {_identifier(annotation, 'category_id') for annotation in annotations}
    found = [
        category
        for category in found
        if category['id'] in used
        or len(found) == 1
        or any(other['above'] != category['name'] for other in found if other is not category)
    ]
    for key in ('id', 'name'):
        counts = Counter(category[key] for category in found)
        value, count = counts.most_common(1)[0] if counts else (None, 1)
        if count > 1:
            raise InputError(f'{path} has {count} categories with {key} {value}: expected each to have its own')
    return [{'id': category['id'], 'name': category['name']} for category in found]


def _first(key: tuple, seen: set[tuple]) -> bool:
    """Whether a key comes for the first time, which it does no more."""
    first = key not in seen
    seen.add(key)
    return first


def _unify(entries: list[dict]) -> None:
    """Make all ids text where one is: pycocotools sorts them."""
    if any(isinstance(entry['id'], str) for entry in entries):
        for entry in entries:
            entry['id'] = str(entry['id'])


def _identifier(entry: Any, key: str = 'id') -> int | str | None:
    """The id in an entry, None if there is none; programs write numbers as text too."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if type(value) is int:  # as almost all are
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _box(value: Any) -> list[float] | None:
    """x, y, width and height."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    box = [number if isinstance(number, (int, float)) and abs(number) < 2**53 else _number(number) for number in value]
    return None if None in box else box


# Of the recognition of a data set, for the data set.
FOUND_ANNOTATIONS = HandedOn(COCOAnnotations)


@DATASETS.register_module()
class COCODetection(SeededSamples, ReportsFindings, CocoDataset):
    """mmdet's ``CocoDataset`` with the order of real data: see :class:`COCOAnnotations`.

    Classes are numbered in the order of ``metainfo['classes']``; one that the file does not name has no objects.
    Missing and broken images are left out and counted. pycocotools evaluates the whole annotation file: objects of
    images that are left out in testing count as missed there.

    Raises:
        InputError: no such annotation file, or no image with an object is left.
    """

    LEFT_OUT = ' (objects of images left out count as missed, and those thinner than a pixel)'

    def __init__(self, ann_file: str, data_root: str = '', **kwargs: Any) -> None:
        path = Path(data_root) / ann_file
        if not path.is_file():
            missing_data(data_root or path.parent)
            raise InputError(f'no annotation file at {path}: expected one in COCO format')
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def COCOAPI(self, path: str) -> COCOAnnotations:
        annotations = FOUND_ANNOTATIONS.take(path)
        self.findings.update(annotations.findings)
        return annotations

    def load_data_list(self) -> list[dict]:
        return [info for info in super().load_data_list() if info is not None]

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        image, boxes = raw_data_info['raw_img_info'], raw_data_info['raw_ann_info']
        folder = self.data_prefix['img']
        root = self.data_root or folder
        stated = (image['width'], image['height'])
        size = self.usable_image(os.path.join(folder, image['file_name']), root, stated, image['file_name'])
        if size is None:
            return None
        kept = []
        for annotation in boxes:
            if annotation['category_id'] not in self.cat2label:
                name = self.coco.cats[annotation['category_id']]['name']
                self.findings.add_other_class(name, image['file_name'])
                continue
            x, y, width, height = annotation['bbox']
            box = usable_box((x, y, x + width, y + height), size, self.findings, image['file_name'])
            if box is not None:
                kept.append({**annotation, 'bbox': [box[0], box[1], box[2] - box[0], box[3] - box[1]]})
        image = {**image, 'width': size[0], 'height': size[1]}
        return super().parse_data_info({'raw_img_info': image, 'raw_ann_info': kept})
