"""Objects of a data set, as large as a detector sees them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Objects(NamedTuple):
    """Of all images, one after the other.

    Attributes:
        corners: (n, 4) x1, y1, x2 and y2 in pixels.
        labels: (n,) numbers of the classes.
        images: (n,) numbers of the images.
    """

    corners: np.ndarray
    labels: np.ndarray
    images: np.ndarray


def resized_objects(infos: Iterable[Mapping[str, Any]], width: int, height: int) -> Objects:
    """Those that are not ignored, in images that are resized to this width and height in pixels.

    Args:
        infos: of a detection data set of MMDetection, one an image.
    """
    corners, labels, images = [], [], []
    for number, info in enumerate(infos):
        across, down = width / info['width'], height / info['height']
        for instance in info['instances']:
            if not instance.get('ignore_flag'):
                x1, y1, x2, y2 = instance['bbox']
                corners.append((x1 * across, y1 * down, x2 * across, y2 * down))
                labels.append(instance['bbox_label'])
                images.append(number)
    return Objects(np.reshape(np.array(corners, float), (-1, 4)), np.array(labels, int), np.array(images, int))
