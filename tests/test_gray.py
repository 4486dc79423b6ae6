"""Images of one channel."""

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, detector_config, pretrain_config, with_larger_head, write_photographs
from mmengine.registry import DefaultScope

import mmnetaug
from mmnetaug import Detector, InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.export import export
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.apis.inference import infer
from mmnetaug.apis.overrides import gray_options, hook_options, pretrained_options, regularizer_hook
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.test import build_detector, checkpoint_config
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import load_network, load_weights, write_export
from mmnetaug.datasets.transforms import Grayscale
from mmnetaug.deploy.heads import raw_maps
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.runtime import open_artefact
from mmnetaug.registry import DATASETS


@torch.no_grad()
def test_a_stem_summed_over_colour_sees_gray_as_it_saw_three_equal_channels(tmp_path):
    colour = mmnetaug.build_network('mobilenetv2_tiny', 10).eval()
    write_export(tmp_path / 'export.pth', colour, {'arch': 'mobilenetv2_tiny'})
    gray = mmnetaug.build_network('mobilenetv2_tiny', 10, in_channels=1).eval()
    load_weights(gray, tmp_path / 'export.pth')
    image = torch.randn(1, 1, 64, 64)
    expected = colour(image.expand(1, 3, 64, 64))
    assert (gray(image) - expected).norm() < 1e-5 * expected.norm()
    # and two thirds of the stem's multiply-accumulates are gone
    saved = mmnetaug.count_macs(colour, (3, 64, 64)) - mmnetaug.count_macs(gray, (1, 64, 64))
    assert saved == 2 * 16 * 9 * 32 * 32
    write_export(tmp_path / 'gray.pth', gray, {'arch': 'mobilenetv2_tiny', 'in_channels': 1})
    with pytest.raises(InputError, match=r'has weights for gray images, .*: take --gray'):
        load_weights(colour, tmp_path / 'gray.pth')


def test_brightness_is_that_of_opencv():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    found = Grayscale()({'img': image})['img']
    assert found.shape == (4, 5, 1)
    assert np.abs(found[..., 0] - image @ np.array([0.114, 0.587, 0.299])).max() < 1


def test_from_pretraining_to_boxes(image_tree, voc, tmp_path):
    """Each step finds out by itself, and what is drawn and found is in the original images."""
    config = pretrain_config(image_tree, tmp_path / 'pre', epochs=1)
    write_export(tmp_path / 'teacher.pth', mmnetaug.build_network('mobilenetv2_tiny', 2), {'arch': 'mobilenetv2_tiny'})
    hooks = regularizer_hook('autoaugment'), regularizer_hook('distill', str(tmp_path / 'teacher.pth'))
    config.merge_from_dict(hook_options(config, *hooks))  # both of which know colour
    config.merge_from_dict(gray_options(config))
    pretrain(config)
    assert load_network(tmp_path / 'pre/export.pth', 2).arch.in_channels == 1
    config = detector_config(voc, tmp_path / 'run', epochs=1, model__backbone__arch='mobilenetv2_tiny')
    config.merge_from_dict(pretrained_options(config, str(tmp_path / 'pre/export.pth'), 'mobilenetv2_tiny'))
    config.merge_from_dict(gray_options(config))
    config.model.test_cfg.score_thr = 0.0
    result = train_detector(config)
    export = tmp_path / 'run/export.pth'
    tested = checkpoint_config(export)
    tested.work_dir = str(tmp_path / 'test')
    again = evaluate_detector(tested, export)
    assert all(again[name] == result[name] for name in ('AP50_area', 'macs', 'peak_memory'))
    assert infer(voc / 'JPEGImages', export, tmp_path / 'out', score_thr=0.0)
    photograph = cv2.imread(str(voc / 'JPEGImages/a.jpg'))
    gray = cv2.cvtColor(cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    detector = Detector(export)
    assert np.array_equal(detector(photograph).boxes, detector(gray).boxes) and len(detector(gray).boxes)


def test_it_is_a_value_of_the_config():
    config = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    config.merge_from_dict(gray_options(config))
    assert not any('pipeline' in key for key in gray_options(config)), 'once is enough'
    assert config.model.backbone.in_channels == 1 and len(config.model.data_preprocessor.mean) == 1
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert [step.type for step in loader.dataset.pipeline][-2:] == ['mmnetaug.Grayscale', 'PackDetInputs']
    with pytest.raises(InputError, match=r'in_channels 2: expected 3 .* 1 for gray'):
        mmnetaug.build_network('mobilenetv2_tiny', in_channels=2)


def test_mosaics_are_made_of_colour_and_then_gray(voc, tmp_path):
    """Of a wrapper with a pipeline of its own, the step is in that; mosaics are filled with colours."""
    config = detector_config(voc, tmp_path / 'run')
    dataset = config.train_dataloader.dataset
    load, mix = dataset.pipeline[:2], [{'type': 'Mosaic', 'img_scale': (96, 96)}, {'type': 'Resize', 'scale': (96, 96)}]
    config.train_dataloader.dataset = {
        'type': 'MultiImageMixDataset',
        'dataset': {**dataset, 'pipeline': load},
        'pipeline': [*mix, {'type': 'PackDetInputs'}],
    }
    config.merge_from_dict(size_options(config, (120, 120)))  # and padding is there as well
    config.merge_from_dict(gray_options(config))
    train = config.train_dataloader.dataset
    assert [step.type for step in train.pipeline] == [
        *('Mosaic', 'Resize', 'mmnetaug.PadRightAndBottom', 'mmnetaug.Grayscale', 'PackDetInputs')
    ]
    assert [step.type for step in train.dataset.pipeline] == [step.type for step in load]
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert DATASETS.build(train)[0]['inputs'].shape == (1, 128, 128)


def test_export_of_gray_images_that_are_not_square(tmp_path):
    """The raw maps of a file are those of the detector, for the very pixels that it is tested with, and its boxes are
    the same: none goes into the padding."""
    pytest.importorskip('onnxruntime')
    photographs = write_photographs(tmp_path / 'photographs')
    config = detector_config(photographs, tmp_path / 'run', size=(128, 100), epochs=1)
    config.merge_from_dict(size_options(config, (160, 120)))
    config.merge_from_dict(gray_options(config))
    config.model.test_cfg.update(score_thr=0.005, nms_pre=60)
    with_larger_head(train_detector(config)['checkpoint'])
    result = export(tmp_path / 'run/export.pth', 'onnx', raw=True, evaluate=False)
    artefact = open_artefact(result['path'])
    assert artefact.meta['size'] == [160, 128] and artefact.meta['channels'] == 'GRAY'
    image = photographs / 'JPEGImages/e.jpg'  # 64x48 pixels
    (pixels,) = Inputs(artefact.meta).pixels([image])
    assert pixels.shape == (1, 1, 128, 160)
    detector = build_detector(tmp_path / 'run/export.pth')
    data = detector.data_preprocessor({'inputs': [torch.from_numpy(pixels[0])], 'data_samples': None})
    with torch.no_grad():
        expected = raw_maps(detector, data['inputs'])
    for found, level in zip(artefact.run(pixels[0]), expected, strict=True):
        assert np.abs(found - level[0].numpy()).max() < 1e-4
    assert artefact.latency(1) > 0
    found, truth = Detector(result['path'])(image), Detector(tmp_path / 'run/export.pth')(image)
    assert len(found.boxes) == len(truth.boxes) > 10 and np.abs(found.boxes - truth.boxes).max() < 1e-3
    assert 47 < found.boxes[:, 3].max() < 48.001
