"""Images that are not square."""

import argparse

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, build_detector, detector_config, sample
from mmdet.registry import MODELS
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

import mmnetaug
from mmnetaug import Detector, InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import image_size, resized_size, size_options
from mmnetaug.apis.test import checkpoint_config
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.cli.arguments import given_size
from mmnetaug.deploy.heads import describe_head
from mmnetaug.registry import TASK_UTILS, TRANSFORMS


def config_of(size, name='ssdlite_baseline_voc'):
    config = read_config(ROOT / f'configs/det/{name}.py', 'det')
    config.merge_from_dict(size_options(config, size))
    return config


def test_sides_are_padded_to_multiples_of_32():
    config = config_of((160, 120))
    assert resized_size(config) == (160, 120) and image_size(config) == (160, 128)
    assert config.model.neck.size == config.model.bbox_head.anchor_generator.size == (160, 128)
    assert image_size(config_of((160, 128))) == (160, 128) and image_size(config_of((160, 160))) == 160
    square = config_of((120, 120))
    assert resized_size(square) == (120, 120) and image_size(square) == 128
    assert square.model.neck.size == square.model.bbox_head.anchor_generator.size == 128
    assert config_of((96, 90)).model.neck.size == 96
    for padded in (config, square):  # and back
        padded.merge_from_dict(size_options(padded, 320))
        assert image_size(padded) == padded.model.neck.size == padded.model.bbox_head.anchor_generator.size == 320
    for loader in (config.train_dataloader, config.test_dataloader):
        assert {step.scale for step in loader.dataset.pipeline if step.type == 'Resize'} == {(320, 320)}


def test_anchors_lie_where_the_feature_maps_are():
    """Centres are spread evenly over width and height; a level of 1x1 has them in the middle of the image."""
    generator = TASK_UTILS.build({'type': 'mmnetaug.SSDLiteAnchorGenerator', 'size': (160, 128)})
    model = build_detector('ssdlite', size=(160, 128)).eval()
    with torch.no_grad():
        maps = [tuple(level.shape[-2:]) for level in model(torch.zeros(1, 3, 128, 160))[0]]
    assert maps == [(8, 10), (4, 5), (2, 3), (1, 2), (1, 1)]
    levels = generator.grid_priors(maps, device='cpu')
    centres = [(level[:, :2] + level[:, 2:]) / 2 for level in levels]
    assert torch.allclose(centres[0][0], torch.tensor([8.0, 8.0])) and torch.allclose(
        centres[0][-1], torch.tensor([152.0, 120.0])
    )
    assert torch.allclose(centres[-1], torch.tensor([80.0, 64.0]))
    with pytest.raises(InputError, match=r'images of 128x128 pixels .* for \(160, 128\)'):
        generator.grid_priors([(8, 8)], device='cpu')


@pytest.fixture
def ssd(tmp_path):
    """mmdet's SSDLite, whose anchors are written for 320 pixels."""
    (tmp_path / 'ssd.py').write_text("_base_ = 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'")
    return read_config(tmp_path / 'ssd.py', 'det')


@pytest.mark.parametrize('size', [96, (224, 160)])
def test_anchors_of_mmdets_ssd_lie_where_the_feature_maps_are(ssd, size):
    width, height = (size, size) if isinstance(size, int) else size
    stock = ssd.model.bbox_head.anchor_generator.copy()
    assert not any('anchor' in key for key in size_options(ssd, 320))
    ssd.merge_from_dict(size_options(ssd, size))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ssd.model).eval()
    with torch.no_grad():
        maps = [tuple(level.shape[-2:]) for level in model(torch.zeros(1, 3, height, width))[0]]
    assert maps[:2] == [(height // 16, width // 16), (height // 32, width // 32)] and maps[-1] == (1, 1)
    for (rows, columns), side, level in zip(
        maps, stock.min_sizes, model.bbox_head.prior_generator.grid_priors(maps, device='cpu'), strict=True
    ):
        centres = (level[:, :2] + level[:, 2:]) / 2
        cell = torch.tensor([width / columns, height / rows])
        assert torch.allclose(centres[0], cell / 2) and torch.allclose(
            centres[-1], torch.tensor([width, height]) - cell / 2
        )
        square = (level[0, 2:] - level[0, :2]).tolist()
        assert square == [pytest.approx(side * (width * height) ** 0.5 / 320)] * 2
    assert describe_head(model, (width, height))['levels'][0] == [*maps[0], 6 * maps[0][0] * maps[0][1]]
    ssd.merge_from_dict(size_options(ssd, 320))  # and back
    assert image_size(ssd) == 320
    again = ssd.model.bbox_head.anchor_generator
    assert again.min_sizes == pytest.approx(stock.min_sizes) and again.max_sizes == pytest.approx(stock.max_sizes)
    expected = [320 / round(320 / stride) for stride in stock.strides]
    assert again.strides == [pytest.approx((stride, stride)) for stride in expected]


def test_anchors_of_mmdets_yolo_keep_their_share_of_the_image(tmp_path):
    (tmp_path / 'yolo.py').write_text("_base_ = 'mmdet::yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py'")
    config = read_config(tmp_path / 'yolo.py', 'det')
    options = size_options(config, 160)
    assert options['test_dataloader.dataset.pipeline.1.scale'] == (160, 160)
    assert options['model.bbox_head.anchor_generator.base_sizes'][0] == [(110, 62.5), (64, 111), (132, 133)]
    assert not any('anchor' in key for key in size_options(config, 320))


def test_anchors_of_mmdets_ssd_that_are_for_one_size(ssd):
    ssd.model.bbox_head.anchor_generator.strides[3] = 100
    with pytest.raises(
        InputError, match=r'--size 96: model.bbox_head.anchor_generator is for images of 320 pixels alone'
    ):
        size_options(ssd, 96)
    assert size_options(ssd, 96, model=False), 'to test at'


def test_cost_follows_the_area():
    model = build_detector('ssdlite', size=(192, 96))
    assert mmnetaug.peak_memory(model, (192, 96)) == 48 * (96 * 48 + 98 * 50)
    backbone = model.backbone
    assert 2 * mmnetaug.count_macs(backbone, (3, 96, 96)) == mmnetaug.count_macs(backbone, (3, 96, 192))


def test_boxes_are_in_pixels_of_the_original_images(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run', size=(128, 100), epochs=1, model__test_cfg__score_thr=0.0)
    result = train_detector(config)
    assert result['size'] == 128
    assert 'at 128 px (images of 128x100, padded): ' in next((tmp_path / 'run').glob('*/*.log')).read_text()
    export = tmp_path / 'run/export.pth'
    tested = checkpoint_config(export)
    tested.work_dir = str(tmp_path / 'test')
    assert evaluate_detector(tested, export)['AP50_area'] == result['AP50_area']
    found = Detector(export)(cv2.imread(str(voc / 'JPEGImages/e.jpg')))  # 64x48 pixels
    assert len(found.boxes) and (found.boxes >= 0).all() and (found.boxes <= [64, 48, 64, 48]).all()
    assert found.boxes[:, 3].max() > 47, 'down to the last line'


def test_batches_of_several_sizes_keep_the_ratio_of_sides(monkeypatch):
    config = config_of((320, 160), 'yolov3_baseline_voc')
    assert config.model.bbox_head.anchor_generator.size == (320, 160)
    model, info, sizes = MODELS.build(config.model.data_preprocessor), {'seed': 0}, set()
    monkeypatch.setattr(MessageHub.get_current_instance(), 'get_info', lambda key: info[key])
    for info['iter'] in range(10, 210, 10):
        target = sample(160, [[0.0, 40, 160, 160]], [0])
        data = model({'inputs': [torch.zeros(3, 160, 320)], 'data_samples': [target]}, True)
        height, width = data['inputs'].shape[-2:]
        sizes.add((width, height))
        boxes = data['data_samples'][0].gt_instances.bboxes.tolist()
        assert boxes == [pytest.approx([0, height / 4, width / 2, height])]
    assert sizes == {(2 * height, height) for height in range(128, 225, 32)}  # of 416 pixels, 320 to 608


def test_padding_keeps_the_shape_of_the_image():
    pad = TRANSFORMS.build({'type': 'mmnetaug.PadRightAndBottom'})
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    result = pad({'img': image, 'img_shape': (120, 160)})
    assert result['img'].shape == (128, 160, 3) and np.array_equal(result['img'][:120], image)
    assert (result['img'][120:] == (104, 116, 124)).all() and result['img_shape'] == (120, 160)


def test_mistakes():
    keeps_ratio = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    keeps_ratio.test_dataloader.dataset.pipeline[2].update(scale=(1333, 800), keep_ratio=True)
    with pytest.raises(InputError, match='resizes to no fixed size: expected'):
        image_size(keeps_ratio)
    with pytest.raises(InputError, match='image size 64: expected a multiple of 32 of at least 96'):
        config_of((160, 64))
    mosaics = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    mosaics.train_dataloader.dataset.pipeline.insert(2, {'type': 'Mosaic', 'img_scale': (320, 320)})
    with pytest.raises(InputError, match=r'--size 160 128: .*img_scale is .*for squares alone. Give one side'):
        size_options(mosaics, (160, 128))
    with pytest.raises(InputError, match=r'--size 1 2 3: expected one side, or width and height'):
        given_size(argparse.Namespace(size=[1, 2, 3]))
