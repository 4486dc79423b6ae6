"""Transforms of classification, as pretraining uses them."""

import cv2
import numpy as np
import pytest

from mmnetaug.datasets.transforms import ColorJitter, LoadImageOrSkip, RandomResizedCrop, ResizeCenterCrop


def test_random_resized_crop_takes_a_part_of_the_promised_area():
    image = np.repeat(np.arange(200, dtype=np.uint8)[None], 100, 0)[..., None].repeat(3, 2)
    for _ in range(200):
        crop = RandomResizedCrop(50, scale=(0.1, 0.2))({'img': image})['img']
        assert crop.shape == (50, 50, 3)
        width = (int(crop[0, -1, 0]) - int(crop[0, 0, 0])) * 50 / 49
        assert np.sqrt(0.1 * 20000 * 3 / 4) - 3 < width < np.sqrt(0.2 * 20000 * 4 / 3) + 3


def test_resize_center_crop():
    crop = ResizeCenterCrop(56)
    assert crop({'img': np.zeros((100, 300, 3), np.uint8)})['img'].shape == (56, 56, 3)
    same = np.random.default_rng(0).integers(0, 255, (56, 56, 3), dtype=np.uint8)
    assert crop({'img': same})['img'] is same


def test_color_jitter_bounds():
    grey = np.full((4, 4, 3), 100, np.uint8)  # saturation changes no grey
    levels = {int(ColorJitter()({'img': grey.copy()})['img'][0, 0, 0]) for _ in range(300)}
    assert min(levels) >= 87 and max(levels) <= 113 and len(levels) > 15


@pytest.mark.parametrize('cache', [False, True])
def test_decoded_images_stay_in_memory(cache, tmp_path):
    """Once decoded, an image needs no file; it cannot be changed for those who ask next."""
    image = np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    (tmp_path / 'b.png').write_text('no image')
    load = LoadImageOrSkip(cache=cache)
    first = load({'img_path': str(tmp_path / 'a.png'), 'gt_label': 3})
    assert (first['img'] == image).all() and first['img'].flags.writeable != cache
    (tmp_path / 'a.png').unlink()
    with pytest.warns(UserWarning, match='is no readable image'):
        assert load({'img_path': str(tmp_path / 'b.png')}) is None
        again = load({'img_path': str(tmp_path / 'a.png'), 'gt_label': 5})
    assert (again is not None) == cache
    if cache:
        assert (again['img'] == image).all()
        assert {**again, 'img': 0} == {**first, 'img': 0, 'gt_label': 5}
