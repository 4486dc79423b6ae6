"""Whether the anchors of a head fit the objects of a data set, before it is trained."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmnetaug.datasets.objects import Objects
from mmnetaug.engine.runner import building_parts
from mmnetaug.models.task_modules.prior_generators import Size, SSDLiteAnchorGenerator, size_text, width_height
from mmnetaug.registry import mmdet_scope

FIRST = 'model.bbox_head.anchor_generator.first_anchor'
OTHERS = (0.1, 0.08, 0.06, 0.05, 0.04, 0.03)  # that are tried
MOST = 10_000  # objects, in equal steps, for which others are tried
GAIN = 0.05  # of the mean share over classes, from which on another is worth a word
# Of objects, in pixels: the root of a box's area.
SIDES = {'below 16 pixels': 16, '16 to 32': 32, '32 to 64': 64, '64 to 128': 128, '128 or more': math.inf}


class Anchors(NamedTuple):
    """Those of a head.

    Attributes:
        boxes: (n, 4) corners x1, y1, x2 and y2 in pixels.
        least: the IoU from which on one stands for an object.
    """

    boxes: Tensor
    least: float

    def cover(self, objects: Objects) -> np.ndarray:
        """Of (n,) objects, which overlap with an anchor."""
        boxes = torch.from_numpy(objects.corners).float()
        best = torch.cat([bbox_overlaps(some, self.boxes).amax(1) for some in boxes.split(1000)])
        return (best >= self.least).numpy()


def head_anchors(model: dict[str, Any], size: Size) -> Anchors | None:
    """All anchors of a detector; None where it has none of a size, such as of GFL and RTMDet, or does not say which IoU
    makes one stand for an object.

    Args:
        model: of a config, for images of ``size``.
        size: side of the images in pixels, or width and height.

    Raises:
        InputError: anchors that cannot be made.
    """
    head, assigner = model['bbox_head'], (model.get('train_cfg') or {}).get('assigner') or {}
    if 'anchor_generator' not in head or not isinstance(least := assigner.get('pos_iou_thr'), float):
        return None
    with building_parts('model.bbox_head.anchor_generator'), mmdet_scope():
        generator = TASK_UTILS.build(head['anchor_generator'])
    width, height = width_height(size)
    maps = (
        generator.maps
        if isinstance(generator, SSDLiteAnchorGenerator)
        else [(math.ceil(height / down), math.ceil(width / across)) for across, down in generator.strides]
    )
    return Anchors(torch.cat(generator.grid_priors(maps, device='cpu')), least)


def class_shares(covered: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Class -> share of its objects that an anchor covers; without classes that have no objects."""
    return {name: covered[labels == label].mean() for label, name in enumerate(classes) if (labels == label).any()}


def anchor_advice(model: dict[str, Any], size: Size, objects: Objects, classes: Sequence[str]) -> str | None:
    """What to type where a smaller first anchor covers clearly more objects, in the mean over classes; None where none
    does, or where the head is no SSDLite of ours.

    Args:
        model, size: as in :func:`head_anchors`.
        objects: in images of ``size``.
        classes: their names.
    """
    generator = model['bbox_head'].get('anchor_generator') or {}
    if 'first_anchor' not in generator or not len(objects.labels):
        return None
    kept = np.linspace(0, len(objects.labels) - 1, min(len(objects.labels), MOST)).astype(int)
    objects, shares = Objects(*(part[kept] for part in objects)), {}
    for first in (generator['first_anchor'], *OTHERS):
        changed = {**model['bbox_head'], 'anchor_generator': {**generator, 'first_anchor': first}}
        anchors = head_anchors({**model, 'bbox_head': changed}, size)
        if anchors is None:
            return None
        shares[first] = class_shares(anchors.cover(objects), objects.labels, classes)
    means = {first: np.mean(list(found.values())) for first, found in shares.items()}
    now, best = generator['first_anchor'], max(means, key=means.get)
    if means[best] - means[now] < GAIN:
        return None
    gains = {name: shares[best][name] - share for name, share in shares[now].items()}
    most = [name for name in sorted(gains, key=gains.get, reverse=True)[:3] if gains[name] >= GAIN]
    said, then = (', '.join(f'{name} {found[name]:.0%}' for name in most) for found in (shares[now], shares[best]))
    return (
        f'few objects overlap with an anchor (IoU of {anchors.least:g} or more): {said}. With --cfg-options '
        f'{FIRST}={best:g}: {then}'
    )


def describe_anchors(name: str, model: dict[str, Any], size: Size, objects: Objects, classes: Sequence[str]) -> str:
    """By size and by class, how many of the objects overlap with an anchor, if the head has some.

    Args:
        name: of the config.
        model, size, objects, classes: as in :func:`anchor_advice`.
    """
    anchors = head_anchors(model, size)
    if anchors is None:
        return f'{name} has no anchors of a size'
    covered = anchors.cover(objects)
    sides = np.sqrt((objects.corners[:, 2:] - objects.corners[:, :2]).prod(1))
    places = np.digitize(sides, list(SIDES.values()))
    rows = [(side, covered[places == number]) for number, side in enumerate(SIDES)]
    rows += [(f'objects: {label}', covered[objects.labels == number]) for number, label in enumerate(classes)]
    width = max(len(row) for row, _ in rows)
    lines = [
        f'anchors of {name} at {size_text(size)} px, and objects that are trained on',
        f'{"":{width}} {"objects":>9} {"overlap":>9}   (IoU of {anchors.least:g} or more)',
        *(f'{row:{width}} {len(part):>9} {f"{part.mean():.0%}" if len(part) else "":>9}' for row, part in rows),
    ]
    if advice := anchor_advice(model, size, objects, classes):
        lines += ['', advice]
    return '\n'.join(lines)
