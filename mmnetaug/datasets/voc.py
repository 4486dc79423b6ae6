"""Pascal VOC layout."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset, XMLDataset

from mmnetaug.datasets.findings import ReportsFindings, is_set, missing_data, read_lines, usable_box
from mmnetaug.datasets.images import IMAGE_SUFFIXES, files_below, images_below
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError, printable
from mmnetaug.registry import DATASETS

# Markup, encoding of the text, name of the encoding, depth.
UNREADABLE_XML = (OSError, ElementTree.ParseError, ValueError, LookupError, RecursionError)
# What follows a name in the lists of single classes (absent, difficult, present).
FLAG = re.compile(r'\s+(-1|0|1)$')
LIST = 'a list of image names, one a line'


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

    def _join_prefix(self) -> None:
        """Every path is known already."""

    def load_data_list(self) -> list[dict]:
        self.cat2label = {name: label for label, name in enumerate(self.metainfo['classes'])}
        infos = []
        for annotations, folder, image_set in self.sets:
            images, files = images_by_name(folder), annotations_by_name(annotations)
            seen = set()
            for name in set_names(image_set, files, images):
                if name not in images:
                    self.findings.add('annotations without image left out', f'{name}.xml')
                    continue
                if name in seen:
                    self.findings.add('images that are listed again left out', name)
                    continue
                seen.add(name)
                info = self._load_image_info(name, images[name], files.get(name), folder)
                if info is not None:
                    infos.append(info)
        return infos

    def _load_image_info(self, name: str, path: Path, xml_path: Path | None, root: Path) -> dict | None:
        if xml_path is None:
            self.findings.add('images without annotation left out', path.name)
            return None
        try:
            tree = ElementTree.parse(xml_path)
        except UNREADABLE_XML:
            self.findings.add('broken annotations left out', xml_path.name)
            return None
        size = self.usable_image(path, root, _stated_size(tree))
        if size is None:
            return None
        instances = []
        for element in objects(tree):
            instance = self._instance(element, size, xml_path.name)
            if instance is not None:
                instances.append(instance)
        return {
            'img_path': str(path),
            'img_id': name,
            'width': size[0],
            'height': size[1],
            'instances': instances,
        }

    def _instance(self, element: ElementTree.Element, size: tuple[int, int], file: str) -> dict | None:
        """mmdet's reading of an object, or None and a finding."""
        name = class_name(element)
        if name not in self.cat2label:
            reason = f'objects of another class ({name})' if name else 'objects without a class'
            self.findings.add(f'{reason} left out', file)
            return None
        element.find('name').text = name
        difficult = element.find('difficult')
        if difficult is not None:
            difficult.text = str(int(is_set(difficult.text)))
        alone = ElementTree.Element('annotation')
        alone.append(element)
        try:
            (instance,) = self._parse_instance_info(alone)
        except (AttributeError, TypeError, ValueError, OverflowError):  # no box, or one of another kind
            self.findings.add('objects without a box (bndbox with xmin, ymin, xmax, ymax) left out', file)
            return None
        box = usable_box(instance['bbox'], size, self.findings, file)
        return box and {**instance, 'bbox': box}


def set_names(image_set: Path | None, annotations: dict[str, Path], images: dict[str, Path]) -> list[str]:
    """The images of a set, by their name in :func:`images_by_name`: those that a list says, or all that have a file
    of annotations.

    Raises:
        InputError: the list is no text.
    """
    if image_set is None:
        return list(annotations)
    return [_known_name(line, images) for line in read_lines(image_set, LIST)]


def _known_name(line: str, images: dict[str, Path]) -> str:
    """The image that a line of a list means, which may say its folder and suffix, or whether it shows a class."""
    for text in (line, line.strip(), FLAG.sub('', line.strip())):
        text = text.replace('\\', '/')
        stem, dot, suffix = text.rpartition('.')
        for name in (text, stem) if dot + suffix.lower() in IMAGE_SUFFIXES else (text,):
            for known in (name, name.rpartition('JPEGImages/')[2], name.rpartition('/')[2]):
                if known in images:
                    return known
    return line.strip()


def images_by_name(folder: Path) -> dict[str, Path]:
    """Path below the folder without suffix -> path of each image, none if there is no such folder."""
    return _by_name(folder, images_below(folder))


def annotations_by_name(folder: Path) -> dict[str, Path]:
    """The same of the XML files."""
    return _by_name(folder, [path for path in files_below(folder) if path.suffix.lower() == '.xml'])


def _by_name(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(path.relative_to(folder).with_suffix('').as_posix(), path)
    return found


def objects(tree: ElementTree.ElementTree) -> list[ElementTree.Element]:
    """The objects of an annotation."""
    return tree.findall('object')


def class_name(element: ElementTree.Element) -> str:
    """The class of an object, '' if it has none."""
    return printable((element.findtext('name') or '').strip())


def class_names(annotations: Path, image_set: Path | None, images: dict[str, Path]) -> set[str]:
    """The classes of all objects of a set."""
    found, files = set(), annotations_by_name(annotations)
    for name in set_names(image_set, files, images):
        try:
            if name in files:
                found.update(class_name(element) for element in objects(ElementTree.parse(files[name])))
        except UNREADABLE_XML:
            continue  # the data set itself reports broken annotations
    return found - {''}


def _stated_size(tree: ElementTree.ElementTree) -> tuple[int, int] | None:
    """Width and height in pixels that an annotation says, None if it says none."""
    try:
        width, height = (int(float(tree.findtext(f'size/{side}'))) for side in ('width', 'height'))
    except (TypeError, ValueError, OverflowError):
        return None
    return width, height
