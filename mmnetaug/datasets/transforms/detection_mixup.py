"""Detection mixup (Zhang et al., arXiv 1902.04103), not YOLOX's MixUp that mmdet has: no image is resized."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmengine.dataset import BaseDataset

from mmnetaug.datasets.samplers import data_sets
from mmnetaug.errors import InputError


class DetectionMixup(BaseTransform):
    """Blend two images, lambda * first + (1 - lambda) * second, and keep the boxes of both with these weights.

    Both lie top left on a black canvas as large as the larger of each side.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha).
        partner: gives the second image, loaded, with its boxes.

    Attributes:
        mixing: whether to mix; a change reaches worker processes that run already.
    """

    def __init__(self, alpha: float, partner: Callable[[], dict]) -> None:
        self.alpha = alpha
        self.partner = partner
        self._mixing = torch.ones(1, dtype=torch.bool).share_memory_()

    @property
    def mixing(self) -> bool:
        return bool(self._mixing)

    @mixing.setter
    def mixing(self, value: bool) -> None:
        self._mixing.fill_(value)

    def transform(self, results: dict) -> dict:
        """Change ``img`` and all that belongs to boxes; add ``gt_bboxes_weights`` (n,) float32.

        The image stays alone, with weights of 1, where mixing is off, where the second is the same image, and
        where lambda is 1.
        """
        results['gt_bboxes_weights'] = np.ones(len(results['gt_bboxes_labels']), np.float32)
        if self.mixing:
            other, share = self.partner(), np.random.beta(self.alpha, self.alpha)
            if other['img_path'] != results['img_path'] and share < 1:
                self._add(results, other, share)
        return results

    def _add(self, results: dict, other: dict, share: float) -> None:
        images = results['img'], other['img']
        height, width, channels = np.max([image.shape for image in images], axis=0)
        canvas = np.zeros((height, width, channels), np.float32)
        for image, weight in zip(images, (share, 1 - share)):
            canvas[: image.shape[0], : image.shape[1]] += weight * image.astype(np.float32)
        results['img'] = np.rint(canvas).astype(images[0].dtype)
        results['img_shape'] = (height, width)
        other['gt_bboxes_weights'] = np.ones(len(other['gt_bboxes_labels']), np.float32) * (1 - share)
        results['gt_bboxes_weights'] *= share
        results['gt_bboxes'] = results['gt_bboxes'].cat([results['gt_bboxes'], other['gt_bboxes']])
        for key in ('gt_bboxes_labels', 'gt_ignore_flags', 'gt_bboxes_weights'):
            results[key] = np.concatenate([results[key], other[key]])


class KeepWeights(BaseTransform):
    """Transforms of boxes with labels, made to carry ``gt_bboxes_weights`` along.

    mmdet's transforms leave out boxes together with their labels and know of nothing else, so inside the labels are
    the numbers of the boxes.

    Args:
        transforms: transforms, or their configurations, that do not read labels.
    """

    def __init__(self, transforms: Sequence[dict | Callable]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> dict | None:
        labels = results['gt_bboxes_labels']
        results['gt_bboxes_labels'] = np.arange(len(labels))
        results = self.transforms(results)
        if results is not None:
            kept = results['gt_bboxes_labels']
            results['gt_bboxes_labels'] = labels[kept]
            results['gt_bboxes_weights'] = results['gt_bboxes_weights'][kept]
        return results


class PackWeightedDetInputs(PackDetInputs):
    """mmdet's ``PackDetInputs``, with ``gt_bboxes_weights`` as ``gt_instances.weights``."""

    mapping_table = {**PackDetInputs.mapping_table, 'gt_bboxes_weights': 'weights'}


class _Partner:
    """Another image of a data set, loaded by the first transforms of its pipeline; processes that are not forked get it
    with these."""

    def __init__(self, dataset: BaseDataset, load: Sequence[Callable]) -> None:
        self.dataset, self.load = dataset, Compose(load)

    def __deepcopy__(self, _: dict) -> '_Partner':
        return self  # a copy of a pipeline needs no copy of the data

    def __call__(self) -> dict:
        for _ in range(self.dataset.max_refetch + 1):
            other = self.load(self.dataset.get_data_info(random.randrange(len(self.dataset))))
            if other is not None:
                return other
        raise InputError(
            f'{self.dataset.max_refetch + 1} images in a row cannot be decoded: `mmnetaug check` names them'
        )


def add_detection_mixup(dataset: BaseDataset, alpha: float) -> list[DetectionMixup]:
    """Mix the images of a training set after they are loaded, and carry the weights of their boxes to the head.

    Args:
        dataset: of mmdet, or several of them wrapped; its pipelines are changed in place.
        alpha: of :class:`DetectionMixup`.

    Returns:
        The transforms that mix, one for each data set.

    Raises:
        InputError: a pipeline that does not load boxes first and pack last.
    """
    return [_add(each, alpha) for each in data_sets(dataset)]


def _add(dataset: BaseDataset, alpha: float) -> DetectionMixup:
    transforms = dataset.pipeline.transforms
    loaded = next((i + 1 for i, each in enumerate(transforms) if isinstance(each, LoadAnnotations)), None)
    if loaded is None or not isinstance(transforms[-1], PackDetInputs):
        raise InputError(
            'detection mixup is for a training pipeline in which LoadAnnotations comes before the augmentation and '
            f'PackDetInputs last; this one has {", ".join(type(each).__name__ for each in transforms)}. Leave out '
            '--mixup'
        )
    load, augmentation, pack = transforms[:loaded], transforms[loaded:-1], transforms[-1]

    mixup = DetectionMixup(alpha, _Partner(dataset, load))
    dataset.pipeline.transforms = [*load, mixup, KeepWeights(augmentation), PackWeightedDetInputs(pack.meta_keys)]
    return mixup
