"""Boxes that any other detector found, judged as our own detectors are."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.structures import InstanceData

from mmnetaug.apis.overrides import evaluators
from mmnetaug.apis.train import measures
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.errors import InputError
from mmnetaug.registry import mmdet_scope

Boxes = Mapping[str, Sequence[Sequence[Any]]]
MOST = 1e9  # of pixels; more overflows where boxes are measured, and NaN is not less
UNLIKELY = 0.1  # share of boxes, of those in pixels, that have no area or lie within one pixel
# Of the images only the annotations are needed.
PIPELINE = [
    {'type': 'LoadAnnotations', 'with_bbox': True},
    {'type': 'PackDetInputs', 'meta_keys': ('img_id', 'img_path')},
]


@mmdet_scope()
def evaluate_boxes(
    boxes: Boxes,
    data_root: str | None,
    classes: Sequence[str] | None = None,
    files: Mapping[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> dict[str, Any]:
    """AP of boxes on the images to test on.

    Args:
        boxes: file name of each image -> its boxes (x1, y1, x2, y2 in pixels of the image, score, name of the class).
            Folders are needed only where images of several have the same name. Boxes of other classes are left out.
        data_root, classes, files: as in :func:`~mmnetaug.datasets.discovery.find_detection_data`.
        allow_outside: test on images outside the data folder too.

    Returns:
        AP as in :func:`~mmnetaug.apis.test.test_detector`, ``images``, and ``boxes``, the number of those of the
        classes.

    Raises:
        InputError: data that cannot be used; an image that ``boxes`` does not have, or a name that may be of several;
            something that is no box, or boxes that are widths and heights, or shares of their images.
    """
    data = find_detection_data(data_root, list(classes) if classes else None, False, files)
    options = {'metainfo': {'classes': data['classes']}, 'pipeline': PIPELINE, 'test_mode': True}
    dataset = DATASETS.build({**data['test'], **options, 'allow_outside': allow_outside})
    evaluator = Evaluator(evaluators(data))
    evaluator.dataset_meta = dataset.metainfo
    labels = {name: label for label, name in enumerate(dataset.metainfo['classes'])}
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    for sample, name in zip(samples, _entries([sample.img_path for sample in samples], boxes)):
        sample.pred_instances = _instances(name, boxes[name], labels)
        evaluator.process([sample], {})
    counted = sum(len(sample.pred_instances) for sample in samples)
    table = torch.cat([sample.pred_instances.bboxes for sample in samples])
    if counted and (table[:, 2:] < table[:, :2]).any(1).float().mean() > UNLIKELY:
        raise InputError('many boxes end before they begin: expected x1, y1, x2 and y2, and not a width and a height')
    if counted and table.max() > 0 and (table <= 1).all(1).float().mean() > 1 - UNLIKELY:
        raise InputError('hardly a side of the boxes is above 1: expected pixels of the image, and not shares of it')
    given = sum(map(len, boxes.values()))
    if given and not counted:
        print_log(f'none of {given} boxes is of {", ".join(labels)}', 'current', logging.WARNING)
    return {**measures(evaluator.evaluate(len(samples))), 'images': len(samples), 'boxes': counted}


def read_boxes(path: str | Path) -> Boxes:
    """Boxes of :func:`evaluate_boxes` in a JSON file.

    Raises:
        InputError: no such file, or something else in it.
    """
    try:
        boxes = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'{path} cannot be read ({error}): expected a JSON file') from error
    if not isinstance(boxes, dict) or not all(isinstance(found, list) for found in boxes.values()):
        raise InputError(f'{path}: expected {{"IMAGE.jpg": [[x1, y1, x2, y2, score, "class"], ...], ...}}')
    return boxes


def _entries(images: Sequence[str], boxes: Boxes) -> list[str]:
    """The name among ``boxes`` of each image: the longest that its path ends with, or that ends with its path, else the
    only one with its file name."""
    of_parts = {Path(name).parts: name for name in boxes}
    if twice := next((name for name in boxes if of_parts[Path(name).parts] != name), None):
        raise InputError(f'{twice} and {of_parts[Path(twice).parts]} are names of the same image: expected each once')
    names: dict[str, list[str]] = {}
    for parts in sorted(of_parts, key=len, reverse=True):
        names.setdefault(parts[-1] if parts else '', []).append(of_parts[parts])
    found, absent = {}, []
    for image in images:
        parts, same = Path(image).parts, names.get(Path(image).name, [])
        ends = (parts[start:] for start in range(len(parts)))
        own = [of_parts[end] for end in ends if end in of_parts][:1]
        own = own or [name for name in same if Path(name).parts[-len(parts) :] == parts][:1] or same
        if len(own) > 1:
            raise InputError(f'{own[0]} and {own[1]} may both be {image}: expected names that its path ends with')
        found.update({image: own[0]} if own else {})
        absent += [] if own else [Path(image).name]
    if absent:
        raise InputError(
            f'{len(absent)} of {len(images)} images have no entry, first {absent[0]}: expected the boxes of each, an '
            'empty list where nothing was found'
        )
    for name, count in Counter(found.values()).items():
        if count > 1:
            raise InputError(
                f'{name} is the name of {count} images in several folders: expected their folders before it'
            )
    return [found[image] for image in images]


def _instances(image: str, boxes: Sequence[Sequence[Any]], labels: Mapping[str, int]) -> InstanceData:
    rows, own = [], []
    for box in boxes:
        if not isinstance(box, list | tuple) or len(box) != 6:
            raise InputError(f'{image} has {box!r}: expected [x1, y1, x2, y2, score, class]')
        *numbers, name = box
        if not all(isinstance(number, int | float) and abs(number) < MOST for number in numbers):
            raise InputError(f'{image} has {box!r}: expected four sides in pixels and a score, all finite numbers')
        if not isinstance(name, str):
            raise InputError(f'{image} has {box!r}: expected the name of a class at its end')
        if name in labels:
            rows.append(numbers)
            own.append(labels[name])
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    return InstanceData(bboxes=table[:, :4], scores=table[:, 4], labels=torch.tensor(own, dtype=torch.long))
