"""What is left out of detection data, or changed in it, counted and said instead of fatal."""

import functools
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmnetaug.datasets.images import READERS, UnusableImage, check_readable, stored_size
from mmnetaug.datasets.known_files import KnownFiles, without_collection
from mmnetaug.errors import InputError, printable
from mmnetaug.progress import Bar

# What COCO's evaluation counts of a class in an image, and the default of MMDetection's detectors.
MAX_DETECTIONS = 100
OTHER_CLASSES = 'objects of other classes left out'
CROWDED = f'images with more than {MAX_DETECTIONS} objects (model.test_cfg.max_per_img; COCO counts as many of a class)'


class Findings:
    """What a data set leaves out or changes, to be said once and counted.

    Attributes:
        names: reason -> file of each case, or its class.
    """

    def __init__(self) -> None:
        self.names = defaultdict(list)
        self._first: dict[str, str] = {}

    def add_other_class(self, name: str, file: str) -> None:
        """An object of a class that is not among those wanted. One line has all such classes, of which there may be
        hundreds."""
        self.add(OTHER_CLASSES, f'{name} (first in {self._first.setdefault(name, file)})')

    def add(self, reason: str, name: object) -> None:
        self.names[reason].append(printable(name))

    def update(self, other: 'Findings') -> None:
        for reason, names in other.names.items():
            self.names[reason] += names

    def lines(self) -> list[str]:
        """One line for each reason: how often, and the first five files, or the twenty most frequent classes."""
        lines = []
        for reason, names in self.names.items():
            counts = Counter(names)
            shown = list(counts)[:5]
            if reason == OTHER_CLASSES:
                shown = [f'{count} {name}' for name, count in counts.most_common(20)]
            more = f' and {len(counts) - len(shown)} more' if len(counts) > len(shown) else ''
            lines.append(f'{len(names)} {reason}: {", ".join(shown)}{more}')
        return lines

    def report(self, place: str) -> None:
        """Log one warning for each reason."""
        for line in self.lines():
            print_log(f'{printable(place)}: {line}', 'current', logging.WARNING)


def usable_box(box: Sequence[float], size: tuple[int, int], findings: Findings, name: str) -> list[float] | None:
    """The part of a box (x1, y1, x2, y2 in pixels) inside an image of ``size`` (width, height), or None."""
    x1, y1, x2, y2 = box
    if not (x2 - x1 >= 1 and y2 - y1 >= 1):  # so that NaN is none either
        thin = x2 > x1 and y2 > y1
        findings.add('boxes thinner than a pixel left out' if thin else 'boxes without area left out', name)
        return None
    if x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]:
        return [x1, y1, x2, y2]
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
        allow_outside: read images outside ``data_root`` too, which annotations may name by ``..`` or from the root.

    Attributes:
        findings: what was left out or changed.
        image_paths: absolute paths of the images.
    """

    LEFT_OUT = ''  # what becomes of objects that were left out in testing

    def __init__(
        self,
        *args: Any,
        decode: bool | None = None,
        allow_outside: bool = False,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        self.decode = test_mode if decode is None else decode
        self.allow_outside = allow_outside
        self.findings = Findings()
        self.image_paths: frozenset[str] = frozenset()
        self._known: dict[str | Path, KnownFiles] = {}
        self._bar: Bar | None = None
        super().__init__(*args, test_mode=test_mode, **kwargs)

    def full_init(self) -> None:
        shown = None if is_main_process() else True  # where there is a terminal
        bar = Bar(desc='looking at images', unit=' images', leave=False, delay=1, mininterval=0.5, disable=shown)
        try:
            with without_collection(), bar as self._bar:
                super().full_init()
        finally:
            self._bar = None
            for known in self._known.values():
                known.save()
            self._known = {}

    def usable_image(
        self, path: str | Path, root: str | Path, stated: tuple[int, int] | None = None, name: str | None = None
    ) -> tuple[int, int] | None:
        """Width and height in pixels of an image as it is loaded, or None and a finding.

        Args:
            path: of the image.
            root: the folder that it has to be in, unless ``allow_outside``.
            stated: width and height in pixels that its annotation says, if any.
            name: what to call it; its file name if None.

        Raises:
            InputError: it is there and cannot be read.
        """
        if self._bar is not None:
            self._bar.update()
        path = os.path.abspath(path)
        name = name or os.path.basename(path)
        if root not in self._known:
            self._known[root] = KnownFiles(root, self._stored_size, f'{READERS}, decoded: {self.decode}')
        below = os.path.join(os.path.abspath(root), '')  # as it is written; what a link in it points to does not matter
        if not self.allow_outside and not path.startswith(below):
            self.findings.add('images outside the data folder left out (--allow-outside reads them)', name)
            return None
        if not os.path.exists(path):
            check_readable(path)
            self.findings.add('annotations without image left out', name)
            return None
        try:
            width, height, turned = self._known[root](path)
        except UnusableImage as reason:
            self.findings.add(f'{reason} left out', name)
            return None
        size = (height, width) if turned else (width, height)
        if stated and min(stated) > 0 and stated != size:
            if turned and stated == (width, height):
                self.findings.add('annotations made for the image before its EXIF orientation turns it', name)
            else:
                self.findings.add('annotations made for another size of their image', name)
        return size

    def _stored_size(self, path: str) -> tuple[int, int, bool]:
        (width, height), turned = stored_size(Path(path), self.decode)
        return width, height, turned

    def filter_data(self) -> list[dict]:
        if self._bar is not None:
            self._bar.close()  # before the report
        infos = super().filter_data()
        if not self.test_mode and (self.filter_cfg or {}).get('filter_empty_gt'):
            # CocoDataset asks the annotation file, boxes that were left out included
            infos = [info for info in infos if info['instances']]
        classes = self.metainfo['classes']
        if isinstance(classes, str):
            raise InputError(
                f'metainfo.classes is the text {classes!r}: expected names, such as ({classes!r},), or a file of them'
            )
        self._metainfo['classes'] = tuple(classes)  # as MMDetection's own sets and tools have it
        there = {item['bbox_label'] for info in infos for item in info['instances'] if not item['ignore_flag']}
        if not there:
            raise InputError(
                f'{self.ann_file}: nothing left to {"evaluate" if self.test_mode else "train"} on; expected '
                f'images with boxes of {", ".join(classes)}, not only difficult or crowd ones'
                + ''.join(f'\n    {line}' for line in self.findings.lines())
            )
        for label, name in enumerate(classes):
            if label not in there:
                self.findings.add(f'classes without an object{" (not in the AP)" if self.test_mode else ""}', name)
        for info in infos:
            if len(info['instances']) > MAX_DETECTIONS:
                self.findings.add(CROWDED, Path(info['img_path']).name)
        self.findings.report(self.ann_file + (self.LEFT_OUT if self.test_mode else ''))
        self.image_paths = frozenset(real_paths(info['img_path'] for info in infos))
        return infos


def real_paths(paths: Iterable[str]) -> Iterator[str]:
    """``os.path.realpath`` of many files, which looks at each folder once."""
    real_folder = functools.cache(os.path.realpath)
    for path in paths:
        folder, name = os.path.split(path)
        yield os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), name)


def missing_data(root: str | Path) -> None:
    """Raise :class:`InputError` unless ``root`` is a folder."""
    if Path(root).is_file():
        raise InputError(f'{root} is a file: expected the folder above it, {Path(root).parent}')
    if not Path(root).is_dir():
        raise InputError(
            f'no data set at {root}: expected a folder in VOC, COCO or YOLO layout. '
            '`mmnetaug make-data shapes` draws one (then --data-root data/shapes); Pascal VOC (to '
            'data/VOCdevkit) and COCO (to data/coco) are fetched by `mim download mmdet --dataset voc2007`, voc2012 or '
            'coco2017: see docs/own-data.md, Public data sets'
        )


def read_utf8(path: Path, expected: str) -> str:
    """A text file, whatever the locale says; a byte-order mark is no part of it.

    Raises:
        InputError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path} cannot be read as text ({error}): expected {expected}, in UTF-8') from error


def read_lines(path: Path, expected: str) -> list[str]:
    """The lines of :func:`read_utf8` that say something, which end at line feeds and carriage returns alone: other
    separators (form feed, U+2028) may be in names of files."""
    return [line for line in re.split('[\r\n]', read_utf8(path, expected)) if line.strip()]


def is_set(flag: Any) -> bool:
    """A flag of an annotation (difficult, crowd, ignore), which programs write as numbers, words or not at all."""
    return str(flag).strip().lower() in ('1', '1.0', 'true', 'yes')
