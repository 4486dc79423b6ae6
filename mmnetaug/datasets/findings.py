"""What is left out of detection data, or changed in it, counted and said instead of fatal."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from mmengine.logging import print_log
from PIL import Image

from mmnetaug.errors import InputError

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


def image_size(path: Path, decode: bool) -> tuple[int, int] | None:
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


def usable_box(box: Sequence[float], size: tuple[int, int], findings: Findings, name: str) -> list[float] | None:
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


class ReportsFindings:
    """What data sets of detection share: they end with a report, and with an error where nothing is left.

    Args:
        decode: read all of each image, not the header alone, so that truncated ones are left out. In testing by
            default; in training such an image is replaced by another when its turn comes.
    """

    LEFT_OUT = ''  # what becomes of objects that were left out in testing

    def __init__(self, *args: Any, decode: bool | None = None, test_mode: bool = False, **kwargs: Any) -> None:
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


def missing_data(root: str | Path) -> None:
    """Raise :class:`InputError` unless ``root`` is a folder."""
    if not Path(root).is_dir():
        raise InputError(
            f'no data set at {root}: expected a folder in VOC or COCO layout. '
            '`python tools/make_data.py shapes` draws one (then --data-root data/shapes); Pascal VOC (to '
            'data/VOCdevkit) and COCO (to data/coco) are fetched by `mim download mmdet --dataset voc2007`, voc2012 or '
            'coco2017: see "Standard data sets" in README.md'
        )
