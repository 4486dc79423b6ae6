"""Sizes of images in a complete config: what they are, and what ``--size`` does to them."""

import copy
import math
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from mmnetaug.apis.config import before_packing, dataset_config, loaders
from mmnetaug.engine.work_dir import flat, value_at
from mmnetaug.errors import InputError
from mmnetaug.models.task_modules.prior_generators import Size, check_size, padded_size, size_text, width_height

PAD = 'mmnetaug.PadRightAndBottom'
# Arguments of transforms that are sizes of images in pixels.
SIZES = ('scale', 'scales', 'size', 'img_scale', 'crop_size', 'random_size_range', 'border')


def resized_size(config: Config, loader: str = 'test_dataloader') -> tuple[int, int]:
    """Width and height in pixels that the config resizes images to, by the first size in its pipeline.

    Raises:
        InputError: its pipeline resizes to no size, or keeps the ratio of sides.
    """
    for transform in dataset_config(config, loader).pipeline:
        for key in SIZES:
            if key in transform:
                size = transform[key]
                sides = [size, size] if isinstance(size, int) else list(size)
                fixed = key == 'scale' and len(sides) == 2 and not transform.get('keep_ratio')
                if all(isinstance(side, int) for side in sides) and (fixed or len(set(sides)) == 1):
                    return sides[0], sides[-1]
    raise InputError(
        f'the pipeline of {loader} resizes to no fixed size: expected a transform with one, such as '
        "dict(type='Resize', scale=(320, 320), keep_ratio=False)"
    )


def image_size(config: Config, loader: str = 'test_dataloader') -> int | tuple[int, int]:
    """Side of the images in pixels that the network gets, or width and height where they differ.

    Raises:
        InputError: its pipeline resizes to no size.
    """
    size = resized_size(config, loader)
    if any(transform.type == PAD for transform in dataset_config(config, loader).pipeline):
        size = padded_size(size)
    return size[0] if size[0] == size[1] else size


def multi_scale_range(config: Config) -> tuple[int, int] | None:
    """Smallest and largest side in pixels that batches are resized to in training, None where they keep theirs."""
    for augment in config.model.get('data_preprocessor', {}).get('batch_augments') or []:
        if 'random_size_range' in augment:
            return tuple(augment.random_size_range)
    return None


def size_options(config: Config, size: Size, model: bool = True) -> dict[str, Any]:
    """``--size``: sides of images in pixels. Every size in whole pixels is scaled, rounded to multiples of 32.

    Args:
        config: complete.
        size: side of the images that are tested on, a multiple of 32, or width and height, which are padded to such.
        model: scale what the model knows of sizes as well (anchors, sizes of batches), as for training.

    Raises:
        InputError: an impossible size, or a size in the config that can be of squares alone.
    """
    target = width_height(size)
    padded = padded_size(target) if isinstance(size, Sequence) else target
    check_size(padded)

    def scaled(value: Any, new: int, old: int) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(scaled(side, new, old) for side in value)
        if not isinstance(value, int):  # a share of the image, say
            return value
        if abs(value) < 32:  # a number of cells, a divisor
            return value
        if value < 0:  # what mosaics are cut by
            return round(value * new / old)
        return new if value == old else max(96, 32 * round(value * new / old / 32))

    def resized(name: str, value: Any) -> Any:
        key, pair, of_model = name.rpartition('.')[2], isinstance(value, (list, tuple)), name.startswith('model.')
        new, old = (padded, width_height(image_size(config))) if of_model else (target, resized_size(config))
        square = new[0] == new[1]
        if key == 'scale' and pair and all(isinstance(side, int) for side in value):
            return tuple(map(scaled, value, new, old))
        if key == 'size' and (pair or not square):
            return padded[0] if of_model and square else padded
        if square or key == 'random_size_range':  # of heights
            return scaled(value, new[1], old[1])
        if scaled(value, 0, old[1]) != value:
            raise InputError(
                f'--size {target[0]} {target[1]}: {name} is {value}, which is for squares alone. Give one side, or a '
                'config without it (such as configs/det/ssdlite_baseline_voc.py)'
            )
        return value

    places = [f'{loader}.dataset' for loader in loaders(config)] + (['model'] if model else [])
    options = {
        name: resized(name, value)
        for place in places
        for name, value in flat(place, value_at(config, place)).items()
        if name.rpartition('.')[2] in SIZES and (place == 'model' or '.pipeline.' in name)
    }
    if model:
        options.update(_anchors(config, padded))
    if padded == target:
        return options
    changed = copy.deepcopy(config)
    changed.merge_from_dict(options)
    return {**options, **before_packing(changed, PAD)}


def _anchors(config: Config, new: tuple[int, int]) -> dict[str, Any]:
    """Anchors of mmdet's SSD, YOLOv3 and YOLOv2 for images of another width and height.

    Of SSD their sides, and the distances between them, which are the image's side by that of a feature map. Each map
    has half the sides of the one before, rounded up.
    """
    anchors, old = config.model.get('bbox_head', {}).get('anchor_generator', {}), width_height(image_size(config))
    kind, place = anchors.get('type', '').rpartition('.')[2], 'model.bbox_head.anchor_generator'
    if new == old or kind not in ('SSDAnchorGenerator', 'YOLOAnchorGenerator'):
        return {}
    if kind == 'YOLOAnchorGenerator':
        pairs = [
            [tuple(side * n / o for side, n, o in zip(pair, new, old)) for pair in its] for its in anchors.base_sizes
        ]
        return {f'{place}.base_sizes': pairs}
    given = [each if isinstance(each, (list, tuple)) else (each, each) for each in anchors.strides]

    def strides(size: tuple[int, int]) -> list[tuple[float, ...]]:
        halvings = [given[0][0] * 2**level for level in range(len(given))]
        return [tuple(side / math.ceil(side / halving) for side in size) for halving in halvings]

    differ = [abs(side - expected) for pair in zip(given, strides(old)) for side, expected in zip(*pair)]
    if max(differ) >= 1 or 'min_sizes' not in anchors:
        raise InputError(
            f'--size {size_text(new)}: {place} is for images of {size_text(old)} pixels alone. Leave out --size, or '
            'write its strides, min_sizes and max_sizes for other images into the config, with the sizes of the images'
        )
    ratio = math.sqrt(math.prod(new) / math.prod(old))
    scaled = {key: [ratio * side for side in anchors[key]] for key in ('min_sizes', 'max_sizes')}
    return {f'{place}.{key}': value for key, value in {**scaled, 'strides': strides(new)}.items()}
