"""Transforms for classification that mmcv and mmdet do not have."""

import math
import random
import warnings
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.image import rescale_size
from mmcv.transforms import BaseTransform, CenterCrop
from mmcv.transforms import LoadImageFromFile as LoadImage
from torch.nn.functional import interpolate

from mmnetaug.datasets.images import UnusableImage, check_readable, is_deep, jpeg_size, read_deep
from mmnetaug.errors import printable
from mmnetaug.registry import TRANSFORMS

# What libjpeg divides the sides of an image by when it decodes fewer pixels -> OpenCV's flag.
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@TRANSFORMS.register_module()
class LoadImageOrSkip(LoadImage):
    """mmcv's ``LoadImageFromFile``, but a file that cannot be decoded gives None and a warning that names it.

    MMEngine's data sets then take another image. One that is there and cannot be read is an :class:`InputError`.

    Args:
        cache: keep decoded images in memory, a copy in each process that loads data: for small images.
        options: further arguments of mmcv's ``LoadImageFromFile``.
    """

    def __init__(self, cache: bool = False, **options: Any):
        super().__init__(**options)
        self.cache = cache
        self.cached: dict[str, dict] = {}
        self.broken: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, (H, W, 3) uint8 BGR; one that is kept in memory is read-only."""
        path = results['img_path']
        if path in self.cached:
            return {**results, **self.cached[path]}
        try:
            loaded = AllBits()({**results, 'img': None}) if is_deep(path) else super().transform(results)
        except (cv2.error, AssertionError, AttributeError, OSError, UnusableImage):
            # What a broken file raises depends on how far decoding came: mmcv then reads the shape of None.
            check_readable(path)
            if path not in self.broken:
                self.broken.add(path)
                count = f'{len(self.broken)} such so far in this process'
                message = f'{printable(path)} is no readable image; another takes its place ({count})'
                warnings.warn(message, stacklevel=2)
            return None
        if self.cache and loaded:
            loaded['img'].flags.writeable = False
            self.cached[path] = {key: loaded[key] for key in ('img', 'img_shape', 'ori_shape')}
        return loaded


@TRANSFORMS.register_module()
class AllBits(BaseTransform):
    """Behind mmcv's ``LoadImageFromFile``, which takes the upper 8 of 16 bits: 12-bit images would be black.

    See :func:`~mmnetaug.datasets.images.read_deep`.
    """

    def transform(self, results: dict) -> dict:
        """(H, W, 3) uint8 BGR ``img`` of the file ``img_path``, if that may have more than 8 bits."""
        path = results.get('img_path')
        if path and is_deep(path):
            results['img'] = read_deep(path)
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An (H, W, 3) uint8 image as (height, width, 3): bilinearly and anti-aliased, as by Pillow and torchvision.

    In training and in validation alike: networks of small images lose points where only one of them is anti-aliased.
    """
    # PyTorch takes neither images that are kept in memory, which are read-only, nor flipped ones as they are
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    # in a third of the time of OpenCV's averaging by area
    return cv2.merge(list(interpolate(pixels, (height, width), mode='bilinear', antialias=True)[0].numpy()))


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Crop a random part and resize it (Szegedy et al. 2015).

    Args:
        size: side of the result in pixels.
        scale: range of the part's area, as a share of the image's.
        ratio: range of the part's width over its height, drawn uniformly in the logarithm.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ):
        self.size, self.scale, self.ratio = size, scale, ratio

    def transform(self, results: dict) -> dict:
        """(H, W, 3) ``img`` -> (size, size, 3)."""
        results['img'] = self.cut(results['img'], self.choose(*results['img'].shape[1::-1]))
        results['img_shape'] = (self.size, self.size)
        return results

    def cut(self, image: np.ndarray, part: tuple[int, int, int, int]) -> np.ndarray:
        """What :meth:`choose` has drawn of an (H, W, 3) image, as (size, size, 3)."""
        left, top, width, height = part
        return resized(image[top : top + height, left : left + width], self.size, self.size)

    def choose(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Draw a part of an image of these sides: its left, top, width and height in pixels."""
        for _ in range(10):
            area = random.uniform(*self.scale) * height * width
            ratio = math.exp(random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                break
        else:
            w = h = min(height, width)
        top, left = random.randint(0, height - h), random.randint(0, width - w)
        return left, top, w, h


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Scale brightness and saturation, each by a factor drawn uniformly from [1 - x, 1 + x].

    Args:
        brightness: x of the brightness.
        saturation: x of the saturation; factor 0 would give a grey image.
    """

    def __init__(self, brightness: float = 32 / 255, saturation: float = 0.5):
        self.brightness, self.saturation = brightness, saturation

    def transform(self, results: dict) -> dict:
        """(H, W, 3) uint8 BGR ``img`` of the same shape and type."""
        image = results['img']
        light = random.uniform(1 - self.brightness, 1 + self.brightness)
        colour = random.uniform(1 - self.saturation, 1 + self.saturation)
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        results['img'] = cv2.addWeighted(image, light * colour, grey, light * (1 - colour), 0)
        return results


@TRANSFORMS.register_module()
class Grayscale(BaseTransform):
    """Brightness instead of colour (ITU-R BT.601), as the last but one transform."""

    def transform(self, results: dict) -> dict:
        """(H, W, 3) uint8 BGR ``img`` -> (H, W, 1)."""
        results['img'] = cv2.cvtColor(results['img'], cv2.COLOR_BGR2GRAY)[..., None]
        return results


@TRANSFORMS.register_module()
class PadRightAndBottom(BaseTransform):
    """Fill images up with the mean colour of ImageNet to multiples of a network's largest stride.

    ``img_shape`` stays that of the image, so that no box is found outside.

    Args:
        divisor: that stride in pixels.
    """

    def __init__(self, divisor: int = 32):
        self.divisor = divisor

    def transform(self, results: dict) -> dict:
        """(H, W, C) uint8 ``img`` -> (H', W', C), the next multiples of ``divisor``."""
        image = results['img']
        height, width = (math.ceil(side / self.divisor) * self.divisor for side in image.shape[:2])
        colour = (104, 116, 124) if image.shape[2] == 3 else (117,)
        padded = np.full((height, width, image.shape[2]), colour, image.dtype)
        padded[: image.shape[0], : image.shape[1]] = image
        results['img'] = padded
        return results


@TRANSFORMS.register_module()
class ResizeCenterCrop(BaseTransform):
    """Resize the short side to ceil(size / 0.875) and crop the centre; an image of exactly ``size`` stays as it is.

    Args:
        size: side of the result in pixels.
    """

    def __init__(self, size: int):
        self.size, self.scale = size, (10**6, math.ceil(size / 0.875))
        self.crop = CenterCrop(size)

    def transform(self, results: dict) -> dict:
        """(H, W, 3) ``img`` -> (size, size, 3)."""
        if results['img'].shape[:2] == (self.size, self.size):
            return results
        image = results['img']
        return self.crop({**results, 'img': resized(image, *rescale_size(image.shape[1::-1], self.scale))})

    def cut(self, image: np.ndarray, part: tuple[float, float, float, float]) -> np.ndarray:
        """:meth:`transform` of an image, of which it is the part by :meth:`choose`."""
        return self.transform({'img': image})['img']

    def choose(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image of these sides that becomes the result: its left, top, width and height in pixels."""
        sides = rescale_size((width, height), self.scale)
        corner = [max(0, round((side - self.size) / 2)) for side in sides]
        x, y = width / sides[0], height / sides[1]
        return corner[0] * x, corner[1] * y, self.size * x, self.size * y


class LoadCropped(LoadImageOrSkip):
    """:class:`LoadImageOrSkip` and a crop in one: a JPEG is decoded at half, a quarter or an eighth of its size where
    the part of it that is wanted then has at least the pixels of the result.

    The part is the same, and so are the random draws; the pixels differ a little from those of full decoding, by the
    filter that shrinks them, which is not anti-aliased. All other images are decoded in full.

    Args:
        crop: with ``size``, ``choose``, ``cut`` and ``transform`` as in :class:`RandomResizedCrop`.
    """

    def __init__(self, crop: BaseTransform):
        super().__init__()
        self.crop = crop

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, (size, size, 3) uint8 BGR, of the file ``img_path``; None if that cannot be decoded."""
        state = random.getstate()
        image = self._jpeg(results['img_path'])
        if image is not None:
            return {**results, 'img': image, 'img_shape': image.shape[:2]}
        random.setstate(state)  # for the same part of the whole image
        loaded = super().transform(results)
        return loaded and self.crop(loaded)

    def _jpeg(self, path: str) -> np.ndarray | None:
        """The part of a JPEG, or None of a file that is none or cannot be decoded."""
        try:
            with open(path, 'rb') as file:
                data = file.read()
        except OSError:
            return None
        known, size = jpeg_size(data), self.crop.size
        if known is None:
            return None
        sides, reversed_axes = known
        part = left, top, width, height = self.crop.choose(*sides)
        scale = next((scale for scale in REDUCED if scale * size <= min(width, height)), 1)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED.get(scale, cv2.IMREAD_COLOR))
        reduced = [math.ceil(side / scale) for side in sides]
        if image is None or [*image.shape[1::-1]] != reduced:
            return None
        if scale == 1:
            return self.crop.cut(image, part)
        # The last pixel of a row or column stands for what may be less than its area, and for the first when reversed
        left, top = (
            start + reverse * (pixels * scale - side)
            for start, reverse, pixels, side in zip((left, top), reversed_axes, reduced, sides)
        )
        # Pixel centres: x + 0.5 of the result is (x + 0.5) * step + left of the image, and that over scale of this one
        x, y = width / size, height / size
        place = np.array([[x, 0, left + (x - scale) / 2], [0, y, top + (y - scale) / 2]]) / scale
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, place, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(LoadCropped):
    """:class:`RandomResizedCrop` of a file.

    Args:
        size, scale, ratio: as there.
    """

    def __init__(
        self, size: int, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
    ):
        super().__init__(RandomResizedCrop(size, scale, ratio))


@TRANSFORMS.register_module()
class LoadResizeCenterCrop(LoadCropped):
    """:class:`ResizeCenterCrop` of a file.

    Args:
        size: as there.
    """

    def __init__(self, size: int):
        super().__init__(ResizeCenterCrop(size))


@TRANSFORMS.register_module()
class PackClassification(BaseTransform):
    """The last transform: ``inputs`` (C, H, W) uint8 tensor and ``data_samples``, the label."""

    def transform(self, results: dict) -> dict:
        """Replace everything by these two."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return {'inputs': torch.from_numpy(image), 'data_samples': results['gt_label']}
