"""Compose images with known boxes: objects pasted on clutter, partly hidden, partly outside the image.

Where the objects come from is a *source*: :class:`mmnetaug.datasets.preparation.shapes.ShapeSource` draws them,
:class:`PhotoSource` cuts them out of any class-per-folder image tree. A source has

- ``classes``: tuple of class names;
- ``background(rng, height, width)``: (height, width, 3) uint8 BGR;
- ``sprite(rng, label, side)``: BGR pixels (h, w, 3) and alpha (h, w), both uint8, of an object of class
  ``label`` whose longer side is ``side`` pixels, or of something of no class where ``label`` is None.

All randomness comes from the ``numpy.random.Generator`` that is passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmnetaug.datasets.images import IMAGE_SUFFIXES, opencv_image
from mmnetaug.errors import InputError

DIFFICULT_BELOW = 0.5  # an object of which less is seen is flagged difficult
OBJECT_SCALE = (0.05, 0.6)  # sides of objects, as shares of the image's sides
CLUTTER = 10  # things of no class behind the objects
SOLID = 128  # a pixel belongs to a sprite from this alpha on


@dataclass
class SceneObject:
    """One labelled object.

    ``box`` is the extent (x0, y0, x1, y1) in pixels of what is seen of it, x1 and y1 exclusive but at most
    width - 1 and height - 1 (see :func:`mmnetaug.datasets.preparation.generate.write_image`); ``area`` counts its
    visible pixels; ``visible`` is the fraction of its pixels that is seen; ``truncated`` says
    whether it reaches outside the image.
    """

    label: int
    box: tuple
    area: int
    visible: float
    truncated: bool

    @property
    def difficult(self) -> bool:
        return self.visible < DIFFICULT_BELOW


class Scene:
    """An image under construction. Keeps for each pixel the object that it shows."""

    def __init__(self, background: np.ndarray, min_visible: float) -> None:
        self.image = background.copy()
        self.min_visible = min_visible
        self._owner = np.zeros(background.shape[:2], np.int64)  # 0: no object
        self._labels, self._truncated = [-1], [False]
        self._pixels, self._visible = np.zeros(1), np.zeros(1)

    def place(self, rng: np.random.Generator, sprite: tuple, label: int | None = None) -> bool:
        """Paste ``sprite`` at a random place, up to 30% of each side outside the image.

        Of every object at least ``min_visible`` stays in sight; False, and nothing pasted, if thirty random
        places do not allow that.
        """
        pixels, alpha = sprite
        (height, width), (h, w) = self._owner.shape, alpha.shape
        count = np.count_nonzero(alpha >= SOLID)
        for _ in range(30):
            top = round(rng.uniform(-0.3 * h, height - 0.7 * h))
            left = round(rng.uniform(-0.3 * w, width - 0.7 * w))
            target = np.s_[max(top, 0) : top + h, max(left, 0) : left + w]
            inside = np.s_[max(-top, 0) : height - top, max(-left, 0) : width - left]
            solid = alpha[inside] >= SOLID
            seen = np.count_nonzero(solid)
            hidden = np.bincount(self._owner[target][solid], minlength=len(self._labels))
            hidden[0] = 0
            kept = self._visible - hidden
            if (label is None or seen >= self.min_visible * count) and np.all(kept >= self.min_visible * self._pixels):
                break
        else:
            return False
        self._visible = kept
        identity = 0
        if label is not None:
            identity = len(self._labels)
            self._labels.append(label)
            self._truncated.append(seen < count)
            self._pixels = np.append(self._pixels, count)
            self._visible = np.append(self._visible, seen)
        self._owner[target][solid] = identity
        weight = alpha[inside][..., None].astype(np.float32) / 255
        self.image[target] = self.image[target] * (1 - weight) + pixels[inside] * weight + 0.5
        return True

    def objects(self) -> list:
        """The :class:`SceneObject` of everything placed with a label, in the order of placing."""
        found = []
        height, width = self._owner.shape
        for identity in range(1, len(self._labels)):
            x, y, w, h = cv2.boundingRect((self._owner == identity).astype(np.uint8))
            box = (x, y, min(x + w, width - 1), min(y + h, height - 1))
            area = int(self._visible[identity])
            fraction = area / self._pixels[identity]
            if box[2] > box[0] and box[3] > box[1]:
                truncated = self._truncated[identity]
                found.append(SceneObject(self._labels[identity], box, area, fraction, truncated))
        return found


def compose(
    rng: np.random.Generator,
    source,
    height: int,
    width: int,
    labels: Sequence,
    scale: tuple = OBJECT_SCALE,
    clutter: int = CLUTTER,
    min_visible: float = 0.3,
) -> tuple:
    """Compose one image of the objects ``labels`` (class indices).

    The longer side of an object is log-uniform between ``scale[0]`` of the longer and ``scale[1]`` of the
    shorter image side. ``clutter`` things of no class, 0.4 to 1 times that size, lie behind the objects, and on
    average half a thing per object in front of them. An object that finds no place is left out.

    Returns:
        tuple: BGR image (height, width, 3) uint8, list of :class:`SceneObject`.
    """
    smallest = scale[0] * max(height, width)
    bounds = np.log([smallest, max(smallest, scale[1] * min(height, width))])
    scene = Scene(source.background(rng, height, width), min_visible)
    queue = [None] * clutter
    for label in labels:
        queue += [int(label)] + [None] * int(rng.integers(2))
    for label in queue:
        side = np.exp(rng.uniform(*bounds)) * (rng.uniform(0.4, 1) if label is None else 1)
        scene.place(rng, source.sprite(rng, label, side), label)
    return scene.image, scene.objects()


def vary_photometry(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Random contrast, brightness, colour cast, saturation, then often blur and noise; uint8 to uint8."""
    pixels = image.astype(np.float32)
    gray = pixels.mean(axis=2, keepdims=True)
    pixels = gray + (pixels - gray) * np.float32(rng.uniform(0.5, 1.3))
    gain = rng.uniform(0.6, 1.3) * rng.uniform(0.9, 1.1, 3)
    pixels = (pixels - 128) * gain.astype(np.float32) + np.float32(128 + rng.uniform(-40, 40))
    if rng.random() < 0.3:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.004 * max(image.shape) + 0.5))
    if rng.random() < 0.5:
        pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(1, 10))
    return np.clip(pixels, 0, 255).astype(np.uint8)


class PhotoSource:
    """Objects cut out of a class-per-folder image tree ``root/CLASS/*`` with soft, rounded outlines.

    Background and clutter are other pieces of the same images, so that neither texture nor outline alone
    tells an object. Images that cannot be read are skipped and collected in ``unreadable``.

    Args:
        root: the folder of the class folders.
        groups: class -> name of the class it counts as; without it each folder is a class of its own.

    Raises:
        InputError: no such folder, no class folder, a class without images or without a group.
    """

    def __init__(self, root: Path, groups: dict | None = None) -> None:
        root = Path(root)
        if not root.is_dir():
            raise InputError(f'no folder {root}: expected an image tree {root}/CLASS/*.jpg; name another --source')
        folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != '.')
        if not folders:
            raise InputError(f'{root} has no class folders; expected {root}/CLASS/*.jpg; name another --source')
        self._files = {}
        for folder in folders:
            if groups is not None and folder.name not in groups:
                raise InputError(f'class {folder.name} of {root} is in no group; omit --groups')
            files = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                raise InputError(f'class folder {folder} has no images; put some there or delete the folder')
            self._files.setdefault(groups[folder.name] if groups else folder.name, []).extend(files)
        self.classes = tuple(sorted(self._files))
        self.unreadable = set()

    def _photo(self, rng: np.random.Generator, label: int | None = None) -> np.ndarray:
        name = self.classes[rng.integers(len(self.classes)) if label is None else label]
        for _ in range(50):
            path = self._files[name][rng.integers(len(self._files[name]))]
            image = opencv_image(path)
            if image is not None:
                return image if rng.random() < 0.5 else image[:, ::-1]
            self.unreadable.add(path)
        raise InputError(f'class {name}: 50 images in a row cannot be read, the last is {path}; replace them')

    def _piece(self, rng: np.random.Generator) -> np.ndarray:
        """A random part, 30 to 60% of each side, of a random image: too little to be an object."""
        image = self._photo(rng)
        h, w = (max(1, round(side * rng.uniform(0.3, 0.6))) for side in image.shape[:2])
        top, left = rng.integers(image.shape[0] - h + 1), rng.integers(image.shape[1] - w + 1)
        return image[top : top + h, left : left + w]

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        canvas = cv2.resize(self._piece(rng), (width, height), interpolation=cv2.INTER_CUBIC)
        return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.005, 0.05) * max(height, width))

    def sprite(self, rng: np.random.Generator, label: int | None, side: float) -> tuple:
        image = self._piece(rng) if label is None else self._photo(rng, label)
        aspect = np.exp(rng.uniform(-0.3, 0.3)) * image.shape[1] / image.shape[0]
        w, h = side * min(1, aspect), side * min(1, 1 / aspect)
        # |x|^p + |y|^p <= 1: from an ellipse (2) to a rounded rectangle; alpha is one half on the outline
        power, feather = rng.uniform(2, 6), rng.uniform(0.02, 0.15)
        x, y = (np.arange(-(n // 2) - 2, n // 2 + 3) / (n / 2) for n in (w, h))
        radius = (np.abs(x)[None] ** power + np.abs(y)[:, None] ** power) ** (1 / power)
        alpha = np.clip((1 - radius) / feather + 0.5, 0, 1) * 255
        shrinks = max(image.shape[:2]) > side
        size = (len(x), len(y))
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return pixels, np.round(alpha).astype(np.uint8)
