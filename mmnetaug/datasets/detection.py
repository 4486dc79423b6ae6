"""Detection data: any folder in Pascal VOC or COCO layout, with its warts counted instead of fatal."""

import json
import logging
import math
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import cv2
from mmdet.datasets import CocoDataset, XMLDataset
from mmengine.logging import print_log
from PIL import Image

from mmnetaug.datasets.image_folder import IMAGE_SUFFIXES
from mmnetaug.errors import InputError
from mmnetaug.registry import DATASETS

# Markup, encoding of the text, name of the encoding.
UNREADABLE_XML = (ElementTree.ParseError, ValueError, LookupError)
EXIF_ORIENTATION, TURNED_BY_90 = 0x0112, (5, 6, 7, 8)


class Findings:
    """What a data set leaves out or changes, to be said once and counted.

    Attributes:
        names: reason -> file of each case.
    """

    def __init__(self) -> None:
        self.names = defaultdict(list)

    def add(self, reason: str, name: object) -> None:
        self.names[reason].append(str(name))

    def lines(self) -> list[str]:
        """One line for each reason: how often, and the first five files."""
        lines = []
        for reason, names in self.names.items():
            files = list(dict.fromkeys(names))
            more = f' and {len(files) - 5} more' if len(files) > 5 else ''
            lines.append(f'{len(names)} {reason}: {", ".join(files[:5])}{more}')
        return lines

    def report(self, place: str) -> None:
        """Log one warning for each reason."""
        for line in self.lines():
            print_log(f'{place}: {line}', 'current', logging.WARNING)


def image_size(path: Path, decode: bool) -> Optional[tuple[int, int]]:
    """Width and height in pixels as the image is loaded, or None if it is no image.

    Args:
        path: of the file.
        decode: read all of it, not the header alone, so that a truncated image is found.
    """
    if not cv2.haveImageReader(str(path)):
        return None
    try:
        with Image.open(path) as image:
            if decode:
                image.load()
            width, height = image.size
            turned = image.format == 'JPEG' and image.getexif().get(EXIF_ORIENTATION) in TURNED_BY_90
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return (height, width) if turned else (width, height)


def usable_box(box: Sequence[float], size: tuple[int, int], findings: Findings, name: str) -> Optional[list[float]]:
    """The part of a box (x1, y1, x2, y2 in pixels) inside an image of ``size`` (width, height), or None."""
    x1, y1, x2, y2 = box
    if not (x2 - x1 >= 1 and y2 - y1 >= 1):  # so that NaN is none either
        findings.add('boxes without area left out', name)
        return None
    inside = [max(x1, 0), max(y1, 0), min(x2, size[0]), min(y2, size[1])]
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        findings.add('boxes outside their image left out', name)
        return None
    if max(abs(a - b) for a, b in zip(box, inside)) > 1:  # one pixel is a matter of counting from 0 or 1
        findings.add('boxes cut at the border of their image', name)
    return inside


class _Checked:
    """What our two data sets share: they end with a report, and with an error where nothing is left.

    Args:
        decode: read all of each image, not the header alone, so that truncated ones are left out. In testing by
            default; in training such an image is replaced by another when its turn comes.
    """

    LEFT_OUT = ''  # what becomes of objects that were left out in testing

    def __init__(self, *args: Any, decode: Optional[bool] = None, test_mode: bool = False, **kwargs: Any) -> None:
        self.decode = test_mode if decode is None else decode
        self.findings = Findings()
        super().__init__(*args, test_mode=test_mode, **kwargs)

    def filter_data(self) -> list[dict]:
        infos = super().filter_data()
        if not self.test_mode and (self.filter_cfg or {}).get('filter_empty_gt'):
            # CocoDataset asks the annotation file, boxes that were left out included
            infos = [info for info in infos if info['instances']]
        if all(instance['ignore_flag'] for info in infos for instance in info['instances']):
            raise InputError(
                f'{self.ann_file}: nothing left to {"evaluate" if self.test_mode else "train"} on; expected '
                f'images with boxes of {", ".join(self.metainfo["classes"])}, not only difficult or crowd ones'
                + ''.join(f'\n    {line}' for line in self.findings.lines())
            )
        self.findings.report(self.ann_file + (self.LEFT_OUT if self.test_mode else ''))
        return infos


@DATASETS.register_module()
class VOCDetection(_Checked, XMLDataset):
    """One image set of a folder in Pascal VOC layout, or several together.

    Boxes flagged difficult are neither objects nor background, in training as in evaluation (the VOC protocol).
    Missing or broken images and annotations are left out, in evaluation too; boxes are cut at the border of their
    image; all with a warning that counts and names them. Images without boxes are kept in evaluation.

    Args:
        sets: (folder, image set) pairs such as ``[('data/VOCdevkit/VOC2007', 'trainval')]``.
        metainfo: ``dict(classes=...)``.
        kwargs: as in mmdet's data sets.

    Raises:
        InputError: no image with an object is left.
    """

    def __init__(self, sets: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        self.sets = sets
        names = ' + '.join(f'{folder} ({image_set})' for folder, image_set in sets)
        super().__init__(ann_file=names, data_root=None, **kwargs)

    def _join_prefix(self) -> None:
        """Every path is known already."""

    def load_data_list(self) -> list[dict]:
        self.cat2label = {name: label for label, name in enumerate(self.metainfo['classes'])}
        infos = []
        for folder, image_set in self.sets:
            images = voc_images(Path(folder))
            for image_id in image_set_ids(Path(folder), image_set):
                xml_path = Path(folder) / 'Annotations' / f'{image_id}.xml'
                if image_id not in images:
                    self.findings.add('annotations without image left out', xml_path.name)
                    continue
                info = self._load_image_info(image_id, images[image_id], xml_path)
                if info is not None:
                    infos.append(info)
        return infos

    def _load_image_info(self, image_id: str, path: Path, xml_path: Path) -> Optional[dict]:
        size = image_size(path, decode=self.decode)
        if size is None:
            self.findings.add('files that are no images left out', path.name)
            return None
        if not xml_path.is_file():
            self.findings.add('images without annotation left out', path.name)
            return None
        try:
            tree = ElementTree.parse(xml_path)
            boxes = self._parse_instance_info(tree)
            others = [name for name in object_names(tree) if name not in self.cat2label]
        except (*UNREADABLE_XML, AttributeError, TypeError, OverflowError):
            self.findings.add('broken annotations left out', xml_path.name)
            return None
        for name in others:
            self.findings.add(f'objects of another class ({name}) left out', xml_path.name)
        instances = []
        for instance in boxes:
            box = usable_box(instance['bbox'], size, self.findings, xml_path.name)
            if box is not None:
                instances.append({**instance, 'bbox': box})
        return {
            'img_path': str(path),
            'img_id': image_id,
            'width': size[0],
            'height': size[1],
            'instances': instances,
        }


@DATASETS.register_module()
class COCODetection(_Checked, CocoDataset):
    """mmdet's ``CocoDataset``, which leaves out missing and broken images and counts what it leaves out.

    pycocotools evaluates the whole annotation file: objects that are left out in testing count as missed there.

    Raises:
        InputError: no image with an object is left.
    """

    LEFT_OUT = ' (objects left out count as missed)'

    def load_data_list(self) -> list[dict]:
        return [info for info in super().load_data_list() if info is not None]

    def parse_data_info(self, raw_data_info: dict) -> Optional[dict]:
        image, boxes = raw_data_info['raw_img_info'], raw_data_info['raw_ann_info']
        path = Path(self.data_prefix['img']) / image['file_name']
        if not path.is_file():
            self.findings.add('annotations without image left out', image['file_name'])
            return None
        size = image_size(path, decode=self.decode)
        if size is None:
            self.findings.add('files that are no images left out', image['file_name'])
            return None
        kept = []
        for annotation in boxes:
            x, y, width, height = annotation['bbox']
            box = usable_box((x, y, x + width, y + height), size, self.findings, image['file_name'])
            if box is not None:
                bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                kept.append({**annotation, 'bbox': bbox, 'area': annotation.get('area') or bbox[2] * bbox[3]})
        image = {**image, 'width': size[0], 'height': size[1]}
        return super().parse_data_info({'raw_img_info': image, 'raw_ann_info': kept})


def image_set_ids(folder: Path, image_set: str) -> list[str]:
    """The image names in ``ImageSets/Main/IMAGE_SET.txt``.

    Raises:
        InputError: the file is no text.
    """
    path = _image_set_file(folder, image_set)
    try:
        return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f'{path} is no text ({error}): expected a list of image names, one a line') from error


def voc_images(folder: Path) -> dict[str, Path]:
    """Name without suffix -> path of each image in ``JPEGImages``, none if there is no such folder."""
    return {path.stem: path for path in (folder / 'JPEGImages').glob('*') if path.suffix.lower() in IMAGE_SUFFIXES}


def object_names(tree: ElementTree.ElementTree) -> list[str]:
    """The class name of each object of a VOC annotation."""
    return [element.findtext('name') for element in tree.findall('object')]


def find_detection_data(root: Union[str, Path], classes: Optional[Sequence[str]] = None) -> dict:
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
    if not root.is_dir():
        raise InputError(
            f'no data set at {root}: expected a folder in VOC or COCO layout. '
            '`python tools/make_data.py shapes` draws one (then --data-root data/shapes); Pascal VOC (to '
            'data/VOCdevkit) and COCO (to data/coco) are fetched by `mim download mmdet --dataset voc2007`, voc2012 or '
            'coco2017: see "Standard data sets" in README.md'
        )
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


def _image_set_file(folder: Path, image_set: str) -> Path:
    return folder / 'ImageSets' / 'Main' / f'{image_set}.txt'


def _first_set(folder: Path, names: Sequence[str]) -> tuple[str, str]:
    for name in names:
        if _image_set_file(folder, name).is_file():
            return str(folder), name
    expected = ' or '.join(f'{name}.txt' for name in names)
    raise InputError(f'{folder / "ImageSets" / "Main"} has no {expected}: expected a list of image names, one a line')


def _find_voc(folders: list[Path], classes: Optional[Sequence[str]]) -> dict:
    test = [_first_set(folders[0], ('test', 'val'))]
    # trainval contains val: what is tested on is not trained on
    train = [
        _first_set(folder, ('train',) if (str(folder), 'val') in test else ('trainval', 'train')) for folder in folders
    ]
    names = set()
    for folder, image_set in (*train, *test):
        for image_id in image_set_ids(Path(folder), image_set):
            try:
                names.update(object_names(ElementTree.parse(Path(folder) / 'Annotations' / f'{image_id}.xml')))
            except (OSError, *UNREADABLE_XML):
                continue  # the data set itself reports broken annotations
    chosen = _choose_classes(sorted(names - {None}), classes, folders[0])
    return {'layout': 'voc', 'classes': chosen, 'train': {'sets': train}, 'test': {'sets': test}, 'findings': {}}


def _find_coco(root: Path, classes: Optional[Sequence[str]]) -> dict:
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
            f'the categories in {chosen["test"]["ann_file"]} differ from those in {chosen["train"]["ann_file"]}: '
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
    return {'ann_file': str(path), 'data_prefix': {'img': str(folder)}}, categories, findings


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


def _choose_classes(existing: list[str], wanted: Optional[Sequence[str]], place: Path) -> list[str]:
    if not existing:
        raise InputError(f'the annotations in {place} name no class: expected at least one object')
    unknown = [name for name in wanted or () if name not in existing]
    if unknown:
        raise InputError(f'no class {", ".join(unknown)} in {place}: expected some of {", ".join(existing)}')
    return sorted(set(wanted)) if wanted else existing
