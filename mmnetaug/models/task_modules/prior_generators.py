"""Anchors that follow the size of the images."""

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from mmdet.models.task_modules.prior_generators import SSDAnchorGenerator, YOLOAnchorGenerator
from torch import Tensor

from mmnetaug.errors import InputError
from mmnetaug.registry import TASK_UTILS

MAX_LEVELS = 6
STRIDE = 32  # the largest of a feature map that our networks give

Size = int | Sequence[int]  # side of a square in pixels, or width and height


def width_height(size: Size) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        InputError: anything but one or two whole numbers.
    """
    sides = (size, size) if isinstance(size, Integral) else size
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise InputError(f'image size {size!r}: expected a side in pixels, or width and height, such as (160, 128)')
    return int(sides[0]), int(sides[1])


def padded_size(size: Size) -> tuple[int, int]:
    """Width and height in pixels, rounded up to multiples of the largest stride."""
    return tuple(STRIDE * math.ceil(side / STRIDE) for side in width_height(size))


def size_text(size: Size) -> str:
    """'320' or '160x128'."""
    return 'x'.join(map(str, dict.fromkeys(width_height(size))))


def check_size(size: Size) -> None:
    """Raise :class:`InputError` unless images of ``size`` pixels fit the strides of our detectors."""
    for side in width_height(size):
        if side < 96 or side % STRIDE:
            raise InputError(f'image size {side}: expected a multiple of 32 of at least 96, such as 320')


def ssdlite_feature_sizes(size: Size) -> list[tuple[int, int]]:
    """Height and width of each SSDLite level's feature map for images of ``size`` pixels: at most six, down to the
    first of 1x1.

    Raises:
        InputError: a side is no multiple of 32 or below 96.
    """
    check_size(size)
    width, height = width_height(size)
    maps = [(height // stride, width // stride) for stride in (16, 32)]
    while len(maps) < MAX_LEVELS and max(maps[-1]) > 1:
        maps.append(tuple((side + 1) // 2 for side in maps[-1]))
    return maps


@TASK_UTILS.register_module()
class SSDLiteAnchorGenerator(SSDAnchorGenerator):
    """mmdet's ``SSDAnchorGenerator`` with levels and anchors that follow the image size.

    Level k has squares of sides s_k and sqrt(s_k * s_k+1), and s_k at the aspect ratios r and 1/r, centred in cells of
    size / (side of its feature map) pixels. Of images that are not square the mean side counts, the geometric one.

    Args:
        size: side of the images in pixels, or width and height; multiples of 32 of at least 96.
        first_anchor: side of the first level's square as a share of the image's: the smaller, the smaller the objects.
        anchor_range: sides of the second level's square and of one beyond the last level's; those between are evenly
            spaced. The published SSDLite begins at 0.35, and our configs do: a stride of 32 is coarse for less.
        ratios: the aspect ratios r.

    Raises:
        InputError: an impossible size, no share above 0, or feature maps of images of another size.
    """

    def __init__(
        self,
        size: Size,
        first_anchor: float = 0.08,
        anchor_range: Sequence[float] = (0.2, 1.05),
        ratios: Sequence[float] = (2, 3),
    ) -> None:
        self.size = size
        self.maps = ssdlite_feature_sizes(size)
        if not first_anchor > 0:
            raise InputError(f"first_anchor is {first_anchor}: expected a share of the image's side, such as 0.12")
        width, height = width_height(size)
        others = torch.linspace(*anchor_range, steps=len(self.maps)).tolist()
        anchors = [math.sqrt(width * height) * fraction for fraction in (first_anchor, *others)]
        super().__init__(
            strides=[(width / columns, height / rows) for rows, columns in self.maps],
            ratios=[list(ratios)] * len(self.maps),
            min_sizes=anchors[:-1],
            max_sizes=anchors[1:],
            scale_major=False,
        )

    def grid_priors(self, featmap_sizes: Sequence[tuple[int, int]], *args, **kwargs) -> list[Tensor]:
        """As in mmdet, for feature maps of images of ``size`` alone."""
        if [tuple(side) for side in featmap_sizes] != self.maps:
            found = 16 * featmap_sizes[0][1], 16 * featmap_sizes[0][0]
            typed = ' '.join(map(str, dict.fromkeys(found)))
            raise InputError(
                f'images of {found[0]}x{found[1]} pixels for the anchors of an SSDLite for {self.size}: it has '
                f'anchors and levels for no other size. Leave out --size, or train one with --size {typed}'
            )
        return super().grid_priors(featmap_sizes, *args, **kwargs)


@TASK_UTILS.register_module()
class YOLOv3AnchorGenerator(YOLOAnchorGenerator):
    """mmdet's ``YOLOAnchorGenerator`` with anchors that grow with the image size.

    Args:
        size: side of the images in pixels that the anchors suit, or width and height; images of other sizes may be
            given too.
        strides: of the levels, from low to high resolution.
        base_sizes: (width, height) in pixels of each level's anchors, for images of ``base`` pixels.
        base: see there.

    Raises:
        InputError: an impossible size.
    """

    def __init__(
        self,
        size: Size,
        strides: Sequence[int],
        base_sizes: Sequence[Sequence[tuple[float, float]]],
        base: int = 416,
    ) -> None:
        check_size(size)
        across, down = width_height(size)
        scaled = [[(width * across / base, height * down / base) for width, height in level] for level in base_sizes]
        super().__init__(strides=list(strides), base_sizes=scaled)
