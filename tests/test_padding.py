"""Convolutions of stride 2 that pad right and bottom first, as TensorFlow does."""

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, build_detector, detector_config, pretrain_config
from mmengine.logging import MMLogger

import mmnetaug
from mmnetaug import InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import padding_options, pretrained_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.test import build_detector as rebuild
from mmnetaug.apis.test import checkpoint_config
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.apis.weights import convert_weights
from mmnetaug.checkpoint import (
    load_network,
    load_weights,
    read_checkpoint,
    trained_normalisation,
    trained_padding,
    write_export,
)
from mmnetaug.models.networks.layers import SamePad


@pytest.mark.parametrize(
    ('kernel', 'side', 'pads'),
    [(3, 8, (0, 1)), (3, 7, (1, 1)), (5, 8, (1, 2)), (5, 7, (2, 2)), (7, 8, (2, 3)), (7, 6, (2, 3))],
)
def test_pads_are_those_of_tensorflow(kernel, side, pads):
    """By hand, for stride 2: ceil(side / 2) outputs, the odd pixel at the end."""
    image = torch.randn(1, 1, side, side)
    assert torch.equal(SamePad(kernel, 2)(image), F.pad(image, (*pads, *pads)))


@torch.no_grad()
def test_keras_weights_give_what_they_gave_in_keras(shared):
    folder = shared / 'reference'
    expected = np.load(folder / 'keras_mobilenetv2_w0.35_outputs.npz')
    network = mmnetaug.build_network('mobilenetv2_w0.35', 10, padding='tf').eval()
    network.classifier = torch.nn.Identity()
    load_weights(network, folder / 'keras_mobilenetv2_w0.35_no_top.h5')
    pooled = torch.from_numpy(expected['tf_padding_pooled'])
    found = network(torch.from_numpy(expected['image']))
    assert (found - pooled).norm() < 1e-5 * pooled.norm()


@torch.no_grad()
def test_supernet_and_its_export_pad_alike():
    torch.manual_seed(0)
    supernet = mmnetaug.NetAug('mobilenetv2_tiny', 10, padding='tf').eval()
    tiny, image = supernet.export(), torch.randn(1, 3, 64, 64)
    assert torch.equal(tiny(image), supernet(image))
    assert tiny.arch.padding == 'tf'
    symmetric = mmnetaug.build_network('mobilenetv2_tiny', 10).eval()
    symmetric.load_state_dict(tiny.state_dict())
    assert not torch.allclose(symmetric(image), tiny(image), atol=0)


def test_it_saves_the_padded_copy():
    """What is left at the peak: 48 channels before and behind the first depthwise convolution of stride 2."""
    tf = mmnetaug.build_network('mobilenetv2_tiny', padding='tf')
    assert mmnetaug.peak_memory(tf, 96) == 138_240 == 48 * (48 * 48 + 24 * 24)
    detector = build_detector('ssdlite', size=224, backbone__padding='tf')
    assert mmnetaug.peak_memory(detector, 224) == 48 * (112 * 112 + 56 * 56)


def test_from_pretraining_to_a_detector_of_its_own(image_tree, voc, tmp_path):
    """Every step finds the padding in what the one before has written."""
    pretrain(pretrain_config(image_tree, tmp_path / 'pre', epochs=1, **{'model.padding': 'tf'}))
    assert load_network(tmp_path / 'pre/export.pth', 2).arch.padding == 'tf'
    for name in ('export.pth', 'epoch_1.pth'):
        said = read_checkpoint(tmp_path / 'pre' / name)
        assert trained_padding(said) == 'tf' and trained_normalisation(said)['std'][0] == 58.395
    options = {'model__backbone__arch': 'mobilenetv2_tiny', 'model__backbone__padding': 'tf'}
    config = detector_config(voc, tmp_path / 'run', epochs=1, **options)
    config.merge_from_dict(pretrained_options(config, str(tmp_path / 'pre/export.pth'), 'mobilenetv2_tiny'))
    result = train_detector(config)
    detector = rebuild(tmp_path / 'run/export.pth')
    assert detector.backbone.padding == 'tf'
    tested = checkpoint_config(tmp_path / 'run/export.pth')
    tested.work_dir = str(tmp_path / 'test')
    again = evaluate_detector(tested, tmp_path / 'run/export.pth')
    assert {name: again[name] for name in ('AP50_area', 'peak_memory')} == {
        name: result[name] for name in ('AP50_area', 'peak_memory')
    }


def test_keras_weights_that_an_early_release_converted():
    """They note their file, and neither their padding nor their pixels."""
    early = {'state_dict': {'stem.0.conv.weight': torch.zeros(8, 3, 3, 3)}, 'meta': {'arch': 'mobilenetv2_w0.35'}}
    assert (trained_padding(early), trained_normalisation(early)) == ('symmetric', {})
    early['meta']['source'] = 'mobilenetv2_w0.35.h5'
    assert (trained_padding(early), trained_normalisation(early)['mean']) == ('tf', [127.5] * 3)


def logged(load):
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        load()
    finally:
        logger.removeHandler(handler)
    return ' '.join(messages)


def test_weights_of_the_other_padding_load_with_a_word(tmp_path, shared):
    path = tmp_path / 'export.pth'
    network = mmnetaug.build_network('mobilenetv2_tiny', 10, padding='tf')
    write_export(path, network, {'arch': 'mobilenetv2_tiny', 'padding': 'tf'})
    word = r'padded right and bottom first, those of this network pad all around'
    assert word in logged(lambda: load_weights(mmnetaug.build_network('mobilenetv2_tiny', 10), path))
    assert not logged(lambda: load_weights(network, path))
    assert load_network(path, 10).arch.padding == 'tf'
    convert_weights(shared / 'reference/keras_mobilenetv2_w0.35_no_top.h5', 'mobilenetv2_tiny', tmp_path / 'keras.pth')
    assert trained_normalisation(read_checkpoint(tmp_path / 'keras.pth'))['mean'] == [127.5] * 3
    backbone = mmnetaug.TinyNet('mobilenetv2_tiny')
    assert word in logged(lambda: load_weights(backbone, tmp_path / 'keras.pth', ignore=('head.', 'classifier.')))


def test_it_is_a_value_of_the_config():
    keys = {'det/ssdlite_baseline_voc': 'model.backbone.padding', 'pretrain/baseline_mbv2': 'model.padding'}
    for name, key in keys.items():
        config = read_config(ROOT / f'configs/{name}.py', name.partition('/')[0])
        assert padding_options(config, 'tf') == {key: 'tf'}
    with pytest.raises(InputError, match="padding 'same': expected one of symmetric, tf"):
        mmnetaug.build_network('mobilenetv2_tiny', padding='same')
