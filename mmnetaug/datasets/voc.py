"""Pascal VOC layout."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset, XMLDataset

from mmnetaug.datasets.findings import ReportsFindings, image_size, missing_data, usable_box
from mmnetaug.datasets.image_folder import IMAGE_SUFFIXES
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError
from mmnetaug.registry import DATASETS

# Markup, encoding of the text, name of the encoding.
UNREADABLE_XML = (ElementTree.ParseError, ValueError, LookupError)


@DATASETS.register_module()
class VOCDetection(SeededSamples, ReportsFindings, XMLDataset):
    """One image set of a folder in Pascal VOC layout, or several together.

    Boxes flagged difficult are neither objects nor background, in training as in evaluation (the VOC protocol).
    Missing or broken images and annotations are left out, in evaluation too; boxes are cut at the border of their
    image; all with a warning that counts and names them. Images without boxes are kept in evaluation.

    Args:
        ann_file: path of an image set, such as ``VOC2007/ImageSets/Main/trainval.txt``, or several; ``Annotations`` and
            ``JPEGImages`` lie beside ``ImageSets``.
        data_root: where relative paths start.
        kwargs: as in mmdet's data sets; ``metainfo=dict(classes=...)`` for other classes than Pascal VOC's.

    Raises:
        InputError: no such image set, or no image with an object is left.
    """

    METAINFO = VOCDataset.METAINFO

    def __init__(self, ann_file: str | Sequence[str], data_root: str = '', **kwargs: Any) -> None:
        paths = [Path(data_root) / path for path in ([ann_file] if isinstance(ann_file, str) else ann_file)]
        self.sets = [(path.parents[2], path.stem) for path in paths]
        for path in paths:
            if not path.is_file():
                missing_data(data_root)
                raise InputError(f'no image set at {path}: expected a list of image names, one a line')
        names = ' + '.join(f'{folder} ({image_set})' for folder, image_set in self.sets)
        super().__init__(ann_file=names, data_root=None, **kwargs)

    def _join_prefix(self) -> None:
        """Every path is known already."""

    def load_data_list(self) -> list[dict]:
        self.cat2label = {name: label for label, name in enumerate(self.metainfo['classes'])}
        infos = []
        for folder, image_set in self.sets:
            images = voc_images(folder)
            for image_id in image_set_ids(folder, image_set):
                xml_path = folder / 'Annotations' / f'{image_id}.xml'
                if image_id not in images:
                    self.findings.add('annotations without image left out', xml_path.name)
                    continue
                info = self._load_image_info(image_id, images[image_id], xml_path)
                if info is not None:
                    infos.append(info)
        return infos

    def _load_image_info(self, image_id: str, path: Path, xml_path: Path) -> dict | None:
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


def image_set_ids(folder: Path, image_set: str) -> list[str]:
    """The image names in ``ImageSets/Main/IMAGE_SET.txt``.

    Raises:
        InputError: the file is no text.
    """
    path = image_set_file(folder, image_set)
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


def image_set_file(folder: Path, image_set: str) -> Path:
    """``ImageSets/Main/IMAGE_SET.txt``."""
    return folder / 'ImageSets' / 'Main' / f'{image_set}.txt'
