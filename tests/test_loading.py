"""Transforms and batches of detectors: quicker than mmdet's, and the same."""

import copy

import numpy as np
import pytest
import torch
from helpers import sample
from mmdet.datasets.transforms import MinIoURandomCrop as TheirCrop
from mmdet.structures.bbox import HorizontalBoxes
from torch.utils.data import DataLoader

from mmnetaug.datasets import collate_detection
from mmnetaug.datasets.transforms import MinIoURandomCrop


def image_with_boxes(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(40, 120, 2))
    number = int(rng.integers(0, 6))
    first = rng.uniform(0, 0.8, (number, 2))
    last = first + rng.uniform(0.02, 0.2 + 0.6 * (seed % 2), (number, 2))
    boxes = np.hstack([first, last]) * [width, height, width, height]
    return {
        'img': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        'img_shape': (height, width),
        'gt_bboxes': HorizontalBoxes(boxes.astype(np.float32)),
        'gt_bboxes_labels': np.arange(number),
        'gt_ignore_flags': rng.random(number) < 0.3,
    }


@pytest.mark.parametrize('min_ious', [(0.3,), (0.1, 0.3, 0.5, 0.7, 0.9)])
def test_crops_equal_mmdets(min_ious):
    """The same crops from the same seeds, and the same random numbers afterwards."""
    changed = 0
    for seed in range(60):
        ends = []
        for kind in (TheirCrop, MinIoURandomCrop):
            results = image_with_boxes(seed)
            np.random.seed(seed)
            ends.append((kind(min_ious, min_crop_size=0.3)(results), np.random.random_sample()))
        (theirs, after), (ours, same) = ends
        assert after == same
        assert theirs['img_shape'] == ours['img_shape'] and np.array_equal(theirs['img'], ours['img'])
        assert torch.equal(theirs['gt_bboxes'].tensor, ours['gt_bboxes'].tensor)
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            assert np.array_equal(theirs[key], ours[key])
        changed += ours['img'].shape != image_with_boxes(seed)['img'].shape
    assert changed > 15


class Drawn(torch.utils.data.Dataset):
    def __init__(self, sides):
        self.sides = sides

    def __len__(self):
        return len(self.sides)

    def __getitem__(self, index):
        image = torch.full((3, self.sides[index], 32), index, dtype=torch.uint8)
        return {'inputs': image, 'data_samples': sample(32, [[1.0, 2, 3, 4]] * index, [0] * index)}


@pytest.mark.parametrize('workers', [0, 1])
def test_batches_arrive_whole(workers):
    loader = DataLoader(Drawn([32, 32, 32, 48]), 2, num_workers=workers, collate_fn=collate_detection)
    stacked, listed = loader
    assert stacked['inputs'].shape == (2, 3, 32, 32) and stacked['inputs'][1].unique().tolist() == [1]
    assert stacked['inputs'].is_shared() == bool(workers)
    assert [image.shape[1] for image in listed['inputs']] == [32, 48]
    samples = [*stacked['data_samples'], *listed['data_samples']]
    assert [len(each.gt_instances) for each in samples] == [0, 1, 2, 3]
    boxes = copy.deepcopy(samples[3]).gt_instances.bboxes
    boxes += 1  # they can be written to
    assert boxes.tolist() == [[2, 3, 4, 5]] * 3 and samples[3].ori_shape == (32, 32)


def test_other_samples_are_left_as_they_are():
    """Those of mmdet's test-time augmentation hold a list for each image, those of its inferencer are pairs."""
    drawn = Drawn([32, 32])
    augmented = [{name: [value, value] for name, value in drawn[index].items()} for index in range(2)]
    batch = collate_detection(augmented)
    assert [[image.unique().item() for image in images] for images in batch['inputs']] == [[0, 1], [0, 1]]
    assert [[len(each.gt_instances) for each in samples] for samples in batch['data_samples']] == [[0, 1], [0, 1]]
    paths, batch = collate_detection([('a.jpg', drawn[0]), ('b.jpg', drawn[1])])
    assert list(paths) == ['a.jpg', 'b.jpg'] and [image.shape for image in batch['inputs']] == [(3, 32, 32)] * 2
