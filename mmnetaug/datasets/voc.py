"""Pascal VOC layout."""

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset, XMLDataset

from mmnetaug.datasets.findings import ReportsFindings, is_set, missing_data, read_lines, usable_box
from mmnetaug.datasets.images import IMAGE_SUFFIXES, check_readable, is_image, paths_below
from mmnetaug.datasets.known_files import KnownFiles
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError, printable
from mmnetaug.registry import DATASETS

# Markup, encoding of the text, name of the encoding, depth.
UNREADABLE_XML = (OSError, ElementTree.ParseError, ValueError, LookupError, RecursionError)
# What follows a name in the lists of single classes (absent, difficult, present).
FLAG = re.compile(r'\s+(-1|0|1)$')
LIST = 'a list of image names, one a line'
# See read_annotation.
Annotation = tuple[tuple[int, int] | None, list[tuple[str, bool, list[int] | None]]]


@DATASETS.register_module()
class VOCDetection(SeededSamples, ReportsFindings, XMLDataset):
    """One image set of a folder in Pascal VOC layout, or several together.

    Boxes flagged difficult are neither objects nor background, in training as in evaluation (the VOC protocol).
    Missing or broken images, annotations and objects are left out, in evaluation too; boxes are cut at the border of
    their image; all with a warning that counts and names them. Images without boxes are kept in evaluation.

    Args:
        ann_file: path of an image set, such as ``VOC2007/ImageSets/Main/trainval.txt``, or several; ``Annotations`` and
            ``JPEGImages`` lie beside ``ImageSets``. Or a folder of annotations, whose images ``data_prefix`` says.
        data_root: where relative paths start.
        data_prefix: ``dict(img=FOLDER)``, the images of a folder of annotations.
        kwargs: as in mmdet's data sets; ``metainfo=dict(classes=...)`` for other classes than Pascal VOC's.

    Raises:
        InputError: no such image set, or no image with an object is left.
    """

    METAINFO = VOCDataset.METAINFO

    def __init__(
        self, ann_file: str | Sequence[str], data_root: str = '', data_prefix: dict | None = None, **kwargs: Any
    ) -> None:
        self.sets = []
        for given in [ann_file] if isinstance(ann_file, str) else ann_file:
            path = Path(data_root) / given
            if path.is_dir():
                self.sets.append((path, Path(data_root) / (data_prefix or {}).get('img', ''), None))
            elif path.is_file():
                folder = path.parent.parent.parent
                self.sets.append((folder / 'Annotations', folder / 'JPEGImages', path))
            else:
                missing_data(data_root)
                raise InputError(f'no image set at {path}: expected {LIST}')
        names = ' + '.join(
            str(annotations) if path is None else f'{annotations.parent} ({path.stem})'
            for annotations, _, path in self.sets
        )
        super().__init__(ann_file=names, data_root=None, **kwargs)

    def load_data_list(self) -> list[dict]:
        self.cat2label = {name: label for label, name in enumerate(self.metainfo['classes'])}
        infos = []
        for annotations, folder, image_set in self.sets:
            images, files = images_by_name(folder), annotations_by_name(annotations)
            annotation_of = known_annotations(annotations)
            seen = set()
            for name in set_names(image_set, files, images):
                if name not in images:
                    self.findings.add('annotations without image left out', f'{name}.xml')
                    continue
                if name in seen:
                    self.findings.add('images that are listed again left out', name)
                    continue
                seen.add(name)
                info = self._load_image_info(name, images[name], files.get(name), folder, annotation_of)
                if info is not None:
                    infos.append(info)
            annotation_of.save()
        return infos

    def _load_image_info(
        self, name: str, path: str, xml_path: str | None, root: Path, annotation_of: Callable[[str], Annotation]
    ) -> dict | None:
        if xml_path is None:
            self.findings.add('images without annotation left out', os.path.basename(path))
            return None
        try:
            stated, found = annotation_of(os.path.abspath(xml_path))
        except UNREADABLE_XML:
            check_readable(xml_path)
            self.findings.add('broken annotations left out', os.path.basename(xml_path))
            return None
        size = self.usable_image(path, root, tuple(stated) if stated else None)
        if size is None:
            return None
        instances = []
        for each in found:
            instance = self._instance(*each, size, os.path.basename(xml_path))
            if instance is not None:
                instances.append(instance)
        return {
            'img_path': path,
            'img_id': name,
            'width': size[0],
            'height': size[1],
            'instances': instances,
        }

    def _instance(
        self, name: str, difficult: bool, corners: list[int] | None, size: tuple[int, int], file: str
    ) -> dict | None:
        """An object as mmdet reads it, or None and a finding."""
        if name not in self.cat2label:
            if name:
                self.findings.add_other_class(name, file)
            else:
                self.findings.add('objects without a class left out', file)
            return None
        if corners is None:
            self.findings.add('objects without a box (bndbox with xmin, ymin, xmax, ymax) left out', file)
            return None
        x1, y1, x2, y2 = (corner - 1 for corner in corners)  # VOC counts from 1
        small = self.bbox_min_size is not None and min(x2 - x1, y2 - y1) < self.bbox_min_size
        box = usable_box((x1, y1, x2, y2), size, self.findings, file)
        return box and {'ignore_flag': int(difficult or small), 'bbox': box, 'bbox_label': self.cat2label[name]}


def set_names(image_set: Path | None, annotations: dict[str, str], images: dict[str, str]) -> list[str]:
    """The images of a set, by their name in :func:`images_by_name`: those that a list says, or all that have a file
    of annotations.

    Raises:
        InputError: the list is no text.
    """
    if image_set is None:
        return list(annotations)
    return [_known_name(line, images) for line in read_lines(image_set, LIST)]


def _known_name(line: str, images: dict[str, str]) -> str:
    """The image that a line of a list means, which may say its folder and suffix, or whether it shows a class."""
    for text in (line, line.strip(), FLAG.sub('', line.strip())):
        text = text.replace('\\', '/')
        stem, dot, suffix = text.rpartition('.')
        for name in (text, stem) if dot + suffix.lower() in IMAGE_SUFFIXES else (text,):
            for known in (name, name.rpartition('JPEGImages/')[2], name.rpartition('/')[2]):
                if known in images:
                    return known
    return line.strip()


def images_by_name(folder: Path) -> dict[str, str]:
    """Path below the folder without suffix -> path of each image, none if there is no such folder."""
    return _by_name(folder, filter(is_image, paths_below(folder)))


def annotations_by_name(folder: Path) -> dict[str, str]:
    """The same of the XML files."""
    return _by_name(folder, (path for path in paths_below(folder) if path.lower().endswith('.xml')))


def _by_name(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        name = os.path.splitext(path[len(os.path.join(folder, '')) :])[0]
        found.setdefault(name.replace(os.sep, '/'), path)
    return found


def class_names(annotations: Path, image_set: Path | None, images: dict[str, str]) -> set[str]:
    """The classes of all objects of a set."""
    found, files, annotation_of = set(), annotations_by_name(annotations), known_annotations(annotations)
    for name in set_names(image_set, files, images):
        try:
            if name in files:
                found.update(each[0] for each in annotation_of(os.path.abspath(files[name]))[1])
        except UNREADABLE_XML:
            check_readable(files[name])
            continue  # the data set itself reports broken annotations
    annotation_of.save()
    return found - {''}


def known_annotations(folder: Path) -> KnownFiles[Annotation]:
    """:func:`read_annotation` of files that do not change."""
    return KnownFiles(folder, read_annotation, 'VOC annotations 1')


def read_annotation(path: str) -> Annotation:
    """What an XML file says: width and height in pixels of its image, None if it says none, and of each object the
    class ('' if it has none), whether it is difficult, and xmin, ymin, xmax and ymax, None where it has no box.

    Raises:
        one of UNREADABLE_XML: it is no XML.
    """
    tree = ElementTree.parse(path)
    return _stated_size(tree), [_object(element) for element in tree.findall('object')]


def _object(element: ElementTree.Element) -> tuple[str, bool, list[int] | None]:
    name = printable((element.findtext('name') or '').strip())
    box = element.find('bndbox')
    try:
        corners = [int(float(box.find(corner).text)) for corner in ('xmin', 'ymin', 'xmax', 'ymax')]
    except (AttributeError, TypeError, ValueError, OverflowError):  # no box, or one of another kind
        corners = None
    return name, is_set(element.findtext('difficult')), corners


def _stated_size(tree: ElementTree.ElementTree) -> tuple[int, int] | None:
    """Width and height in pixels that an annotation says, None if it says none."""
    try:
        width, height = (int(float(tree.findtext(f'size/{side}'))) for side in ('width', 'height'))
    except (TypeError, ValueError, OverflowError):
        return None
    return width, height
