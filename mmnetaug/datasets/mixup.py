"""Detection mixup (Zhang et al., arXiv 1902.04103), not YOLOX's MixUp that mmdet has: no image is resized."""

import random
from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmdet.datasets.transforms import PackDetInputs

from mmnetaug.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DetectionMixup(BaseTransform):
    """Blend two images, lambda * first + (1 - lambda) * second, and keep the boxes of both with these weights.

    Both lie top left on a black canvas as large as the larger of each side. For mmdet's ``MultiImageMixDataset``,
    which brings the second image.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha).

    Attributes:
        mixing: whether to mix; a change reaches worker processes that run already.
    """

    def __init__(self, alpha: float = 1.5) -> None:
        self.alpha = alpha
        self._mixing = torch.ones(1, dtype=torch.bool).share_memory_()

    @property
    def mixing(self) -> bool:
        return bool(self._mixing)

    @mixing.setter
    def mixing(self, value: bool) -> None:
        self._mixing.fill_(value)

    def get_indexes(self, dataset: Sequence) -> list[int]:
        """Which image to add: one at random, or none."""
        return [random.randrange(len(dataset))] if self.mixing else []

    def transform(self, results: dict) -> dict:
        """Change ``img`` and all that belongs to boxes; add ``gt_bboxes_weights`` (n,) float32.

        The image stays alone, with weights of 1, where mixing is off, where the second is the same image, and
        where lambda is 1.
        """
        results['gt_bboxes_weights'] = np.ones(len(results['gt_bboxes_labels']), np.float32)
        for other in results['mix_results']:
            share = np.random.beta(self.alpha, self.alpha)
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


@TRANSFORMS.register_module()
class KeepWeights(BaseTransform):
    """Transforms of boxes with labels, made to carry ``gt_bboxes_weights`` along.

    mmdet's transforms leave out boxes together with their labels and know of nothing else, so inside the labels are
    the numbers of the boxes.

    Args:
        transforms: configurations of transforms that do not read labels.
    """

    def __init__(self, transforms: Sequence[dict]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> Optional[dict]:
        labels = results['gt_bboxes_labels']
        results['gt_bboxes_labels'] = np.arange(len(labels))
        results = self.transforms(results)
        if results is not None:
            kept = results['gt_bboxes_labels']
            results['gt_bboxes_labels'] = labels[kept]
            results['gt_bboxes_weights'] = results['gt_bboxes_weights'][kept]
        return results


@TRANSFORMS.register_module()
class PackWeightedDetInputs(PackDetInputs):
    """mmdet's ``PackDetInputs``, with ``gt_bboxes_weights`` as ``gt_instances.weights``."""

    mapping_table = {**PackDetInputs.mapping_table, 'gt_bboxes_weights': 'weights'}
