"""Images as a trained network takes them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose

from mmnetaug.datasets.images import UnusableImage, image_size
from mmnetaug.errors import InputError, printable
from mmnetaug.registry import mmdet_scope

LOADERS = ('LoadImageFromFile', 'LoadImageOrSkip', 'AllBits')
META_KEYS = ('ori_shape', 'img_shape', 'scale_factor')


class Inputs:
    """Loads and resizes images as a network was tested with.

    Args:
        meta: what a checkpoint or artefact says of itself: the ``config`` of a detector, or the ``size`` (width and
            height in pixels) of a classifier.

    Raises:
        InputError: it does not say how images are prepared.
    """

    def __init__(self, meta: dict[str, Any]) -> None:
        try:
            self._build(meta)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise InputError(
                f'the file does not say how images are prepared ({error!r}): train or export it again'
            ) from error

    def _build(self, meta: dict[str, Any]) -> None:
        self.channels = meta.get('channels', 'BGR')
        if 'config' in meta:
            dataset = meta['config']['test_dataloader']['dataset']
            while 'dataset' in dataset:
                dataset = dataset['dataset']
            steps = [step for step in dataset['pipeline'] if step['type'].rpartition('.')[2] != 'LoadAnnotations']
            given = steps[-1].get('meta_keys', ())  # a head may read more, such as CenterNet's the border
            steps[-1] = {**steps[-1], 'meta_keys': (*META_KEYS, *(key for key in given if key not in META_KEYS))}
        else:
            resize = {'type': 'mmnetaug.ResizeCenterCrop', 'size': meta['size'][0]}
            steps = [{'type': 'LoadImageFromFile'}, {'type': 'mmnetaug.AllBits'}, resize]
            steps += [{'type': 'mmnetaug.Grayscale'}] if self.channels == 'GRAY' else []
            steps.append({'type': 'PackDetInputs', 'meta_keys': META_KEYS[:1]})
        self._from_file = _compose(steps)
        changes = [step for step in steps if step['type'].rpartition('.')[2] not in LOADERS]
        floats = any(step.get('to_float32') for step in steps)
        self._from_array = _compose([{'type': 'LoadImageFromNDArray', 'to_float32': floats}, *changes])

    def read(self, image: str | Path | np.ndarray) -> dict[str, Any]:
        """``inputs``, (3, H, W) uint8 BGR, and ``data_samples`` of an image.

        Args:
            image: a path, or an (H, W, 3) uint8 BGR array.

        Raises:
            InputError: no image at the path, or an array of another kind.
        """
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise InputError(f'an array {image.shape} of {image.dtype}: expected (H, W, 3) of uint8, in BGR')
            return self._prepared(self._from_array, {'img': image})
        if not isinstance(image, (str, os.PathLike)):
            raise InputError(f'a {type(image).__name__} is no image: expected a path, or an array as cv2.imread gives')
        path = Path(image)
        if path.is_dir():
            raise InputError(f'{printable(path)} is a folder: expected an image, or a list of them')
        if not path.is_file():
            raise InputError(f'no image at {printable(path)}')
        try:
            image_size(path, decode=True)
        except UnusableImage as reason:
            raise InputError(f'{printable(path)} is among the {reason}, which are not read') from None
        return self._prepared(self._from_file, {'img_path': str(path)})

    @staticmethod
    def _prepared(steps: Compose, image: dict[str, Any]) -> dict[str, Any]:
        try:
            return steps(image)
        except Exception as error:  # of whatever a file has put into its steps
            said = printable(image['img_path']) if 'img_path' in image else 'an array {}x{}'.format(*image['img'].shape)
            raise InputError(
                f'{said} cannot be prepared as the file says ({error!r}): where others cannot either, train or export '
                'the detector again'
            ) from error

    def pixels(self, images: Sequence[str | Path]) -> Iterator[np.ndarray]:
        """(1, 3, H, W) float32 pixels from 0 to 255 of each image, in the order of channels that an artefact takes."""
        for image in images:
            pixels = self.read(image)['inputs'].numpy().astype(np.float32)
            yield np.ascontiguousarray(pixels[::-1] if self.channels == 'RGB' else pixels)[None]


def _compose(steps: Sequence[dict]) -> Compose:
    with mmdet_scope():
        return Compose(steps)
