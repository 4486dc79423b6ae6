"""Transforms of classification, as pretraining uses them."""

import math
import random
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmnetaug.datasets.transforms import (
    ColorJitter,
    LoadImageOrSkip,
    LoadRandomResizedCrop,
    LoadResizeCenterCrop,
    PadRightAndBottom,
    RandomResizedCrop,
    ResizeCenterCrop,
)
from mmnetaug.evaluation.loading_speed import drawn_photograph

# In one and in two: decoded at a smaller scale where that has the pixels, and in full.
RANDOM = LoadRandomResizedCrop, RandomResizedCrop
CENTRE = LoadResizeCenterCrop, ResizeCenterCrop


def test_random_resized_crop_takes_a_part_of_the_promised_area():
    image = np.repeat(np.arange(200, dtype=np.uint8)[None], 100, 0)[..., None].repeat(3, 2)
    for _ in range(200):
        crop = RandomResizedCrop(50, scale=(0.1, 0.2))({'img': image})['img']
        assert crop.shape == (50, 50, 3)
        width = (int(crop[0, -1, 0]) - int(crop[0, 0, 0])) * 50 / 49
        assert np.sqrt(0.1 * 20000 * 3 / 4) - 3 < width < np.sqrt(0.2 * 20000 * 4 / 3) + 3


def test_resize_center_crop():
    crop = ResizeCenterCrop(56)
    for height in (100, 56):
        assert crop({'img': np.zeros((height, 300, 3), np.uint8)})['img'].shape == (56, 56, 3)
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


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """Drawn JPEGs of 410x301 pixels, one for each EXIF orientation."""
    folder = tmp_path_factory.mktemp('photographs')
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(drawn_photograph(410, 301, orientation)[..., ::-1])
        image.save(folder / f'{orientation}.jpg', quality=90, exif=exif)
    return sorted(folder.iterdir())


def decibels(first, second):
    """Peak signal-to-noise ratio of two images of 8 bits."""
    error = np.mean((first.astype(float) - second) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def both_ways(crops, size, path, seed=0):
    """The result of each, OpenCV's flags of the first decoding, and what is drawn next."""
    results, flags, drawn = [], [], []
    for steps in ([crops[0](size)], [LoadImageOrSkip(), crops[1](size)]):
        random.seed(seed)
        data = {'img_path': str(path)}
        with mock.patch.object(cv2, 'imdecode', wraps=cv2.imdecode) as decode:
            for step in steps:
                data = step(data)
        results.append(data['img'])
        flags.append(decode.call_args.args[1])
        drawn.append(random.random())
    assert drawn[0] == drawn[1]
    assert results[0].shape == results[1].shape == (size, size, 3)
    return results, flags[0]


def averaged(crops, size, path, seed=0):
    """What the crop should be: the mean over the area of each of its pixels, by Pillow."""
    image = ImageOps.exif_transpose(Image.open(path))
    random.seed(seed)
    left, top, width, height = crops[1](size).choose(*image.size)
    result = image.resize((size, size), Image.Resampling.BOX, box=(left, top, left + width, top + height))
    return np.asarray(result)[..., ::-1]


@pytest.mark.parametrize('crops', [RANDOM, CENTRE])
@pytest.mark.parametrize(
    'size, flag', [(80, cv2.IMREAD_REDUCED_COLOR_2), (45, cv2.IMREAD_REDUCED_COLOR_4), (24, cv2.IMREAD_REDUCED_COLOR_8)]
)
def test_jpegs_are_decoded_at_a_smaller_scale(crops, size, flag, photographs):
    """The result is near to the mean over the area of each of its pixels, and so is that of decoding in full."""
    used = set()
    for seed, path in enumerate(photographs):
        (small, whole), used_flag = both_ways(crops, size, path, seed)
        used.add(used_flag)
        truth = averaged(crops, size, path, seed)
        assert min(decibels(small, truth), decibels(whole, truth)) > 34, path
    assert flag in used


@pytest.mark.parametrize('crops', [RANDOM, CENTRE])
def test_photographs_at_a_smaller_scale(crops, shared):
    """Photographs of 640x480 pixels to 144: the two differ less than JPEG's own loss."""
    used = []
    for seed, path in enumerate(sorted((shared / 'data/bccd').rglob('*.jpg'))[:12]):
        (small, whole), flag = both_ways(crops, 144, path, seed)
        used.append(flag)
        assert min(decibels(small, averaged(crops, 144, path, seed)), decibels(small, whole)) > 45, path
    assert used.count(cv2.IMREAD_REDUCED_COLOR_2) > 6


@pytest.mark.parametrize('crops', [RANDOM, CENTRE])
def test_other_images_are_decoded_in_full(crops, photographs, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), drawn_photograph(200, 150, 0))
    Image.open(photographs[0]).save(tmp_path / 'cut_off_exif.jpg', exif=b'Exif\0\0II*\0')
    for path, size in [(tmp_path / 'a.png', 32), (photographs[5], 290), (tmp_path / 'cut_off_exif.jpg', 290)]:
        (first, second), _ = both_ways(crops, size, path)
        assert (first == second).all()


def test_a_broken_jpeg_draws_nothing(photographs, tmp_path):
    """The image that takes its place is cropped as if the broken one were not there."""
    (tmp_path / 'a.jpg').write_bytes(photographs[0].read_bytes()[:700])
    random.seed(1)
    with pytest.warns(UserWarning, match='a.jpg is no readable image'):
        assert LoadRandomResizedCrop(32)({'img_path': str(tmp_path / 'a.jpg')}) is None
    assert random.random() == random.Random(1).random()


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('size', [40, 150])
def test_crops_are_resized_as_by_pillow(size, photographs):
    """Anti-aliased where the part is larger than the result, and bilinear in any case; the result is of use to OpenCV
    without a copy."""
    image = cv2.imread(str(photographs[0]))
    image.flags.writeable = False  # as those that are kept in memory
    for seed in range(8):
        random.seed(seed)
        left, top, width, height = RandomResizedCrop(size).choose(*image.shape[1::-1])
        part = Image.fromarray(image).crop((left, top, left + width, top + height))
        random.seed(seed)
        crop = RandomResizedCrop(size)({'img': image})['img']
        assert crop.flags.c_contiguous
        assert np.abs(crop.astype(int) - np.asarray(part.resize((size, size), Image.Resampling.BILINEAR))).max() <= 1
    side = math.ceil(size / 0.875)
    whole = Image.fromarray(image).resize((round(side * 410 / 301), side), Image.Resampling.BILINEAR)
    left, top = round((whole.width - size) / 2), round((side - size) / 2)
    centre = np.asarray(whole.crop((left, top, left + size, top + size)))
    assert np.abs(ResizeCenterCrop(size)({'img': image})['img'].astype(int) - centre).max() <= 1


def test_gray_images_are_padded_with_the_mean_brightness():
    padded = PadRightAndBottom()({'img': np.full((32, 40, 1), 9, np.uint8)})['img']
    assert padded.shape == (32, 64, 1) and (padded[:, :40] == 9).all() and (padded[:, 40:] == 117).all()
