"""TinyNet, the backbone for MMDetection."""

import numpy as np
import pytest
import torch
from helpers import build_detector
from mmdet.registry import MODELS

import mmnetaug
from mmnetaug import InputError


def test_mmdet_builds_it_by_name_and_gets_the_reference_features(shared):
    backbone = MODELS.build(
        dict(
            type='mmnetaug.TinyNet',
            arch='mobilenetv2_tiny',
            out_indices=(0, 1, 2, 3, 4),
            init_cfg=dict(type='Pretrained', checkpoint=str(shared / 'reference/mobilenetv2_tiny.pth')),
        )
    )
    backbone.init_weights()
    backbone.eval()
    reference = np.load(shared / 'reference/mobilenetv2_tiny.npz')
    with torch.no_grad():
        features = backbone(torch.from_numpy(reference['image']))
    for i, feature in enumerate(features, start=1):
        expected = torch.from_numpy(reference[f'stage{i}'])
        assert (feature - expected).norm() / expected.norm() < 5e-5


@pytest.mark.parametrize(
    'arch, out_indices, strides',
    [('mobilenetv2_w0.35', (3, 5), (16, 32)), ('mcunet', (1, 2, 3, 4), (8, 16, 16, 32)), ('resnet50', (1, 3), (8, 32))],
)
def test_feature_maps_have_the_promised_shapes(arch, out_indices, strides):
    backbone = mmnetaug.TinyNet(arch, out_indices=out_indices)
    features = backbone(torch.randn(1, 3, 96, 96))
    assert [f.shape for f in features] == [(1, c, 96 // s, 96 // s) for c, s in zip(backbone.out_channels, strides)]


def test_feature_maps_by_stride():
    """The last and the widest map at a stride; what follows the last one is not built."""
    names = ('stride8', 'stride16', 'stride16_expansion', 'stride32')
    torch.manual_seed(0)
    backbone = mmnetaug.TinyNet('mobilenetv2_tiny', names).eval()
    network = mmnetaug.build_network('mobilenetv2_tiny', 10).eval()
    network.load_state_dict(backbone.state_dict(), strict=False)
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        features = dict(zip(names, backbone(image)))
        x, outputs = network.stem(image), []
        for stage in network.stages:
            x = stage(x)
            outputs.append(x)
        expected = {
            'stride8': outputs[1],
            'stride16': outputs[3],
            'stride16_expansion': network.stages[4][0].expand(outputs[3]),
            'stride32': network.head[0](x),
        }
    for name in names:
        assert torch.equal(features[name], expected[name]), name
    assert backbone.out_channels == tuple(expected[name].shape[1] for name in names)
    small = mmnetaug.TinyNet('mobilenetv2_tiny', ('stride8',))
    assert len(small.stages) == 2 and not len(small.head)


def save_export(network, path, drop=()):
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(tuple(drop) or '-')}
    torch.save({'state_dict': state}, path)
    return dict(type='Pretrained', checkpoint=str(path))


def test_heads_may_be_absent_but_no_tensor_of_the_backbone(tmp_path):
    network = mmnetaug.build_network('mobilenetv2_tiny', 10)
    init = save_export(network, tmp_path / 'headless.pth', drop=('classifier.', 'head.'))
    backbone = mmnetaug.TinyNet('mobilenetv2_tiny', out_indices=(3, 4), init_cfg=init)
    backbone.init_weights()
    assert torch.equal(backbone.stem[0].conv.weight, network.stem[0].conv.weight)

    init = save_export(network, tmp_path / 'gap.pth', drop=('stages.2.1.',))
    with pytest.raises(InputError, match=r'stages\.2\.1\.expand\.conv\.weight: missing'):
        mmnetaug.TinyNet('mobilenetv2_tiny', out_indices=(3, 4), init_cfg=init).init_weights()


def test_other_architecture_never_trains_from_scratch(tmp_path):
    init = save_export(mmnetaug.build_network('mobilenetv2_w0.5', 10), tmp_path / 'wide.pth')
    with pytest.raises(InputError, match=r'weights of mobilenetv2_w0\.5, not of mobilenetv2_tiny'):
        mmnetaug.TinyNet('mobilenetv2_tiny', init_cfg=init).init_weights()


def test_frozen_stages_and_norm_eval():
    backbone = mmnetaug.TinyNet('mobilenetv2_tiny', out_indices=(3, 4), frozen_stages=2, norm_eval=True).train()
    frozen = [name for name, p in backbone.named_parameters() if not p.requires_grad]
    assert {name.split('.')[0] + name.split('.')[1] for name in frozen if name.startswith('stages')} == {
        'stages0',
        'stages1',
    }
    assert any(name.startswith('stem') for name in frozen)
    before = backbone.stages[4][0].project.norm.running_mean.clone()
    backbone(torch.randn(2, 3, 64, 64))
    assert torch.equal(backbone.stages[4][0].project.norm.running_mean, before)
    assert backbone.stages[4][0].training


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'out_indices': (3, 6)}, r'no feature map 6: it has .*stride32, and numbers of stages from 0 to 5'),
        ({'out_features': ('stride16', 'stride64')}, 'no feature map stride64: it has stride2_expansion, stride4, '),
        ({'out_indices': (4, 3)}, 'expected'),
        ({'out_indices': (3, 3)}, 'expected'),
        ({'out_indices': ()}, 'expected'),
        ({'out_features': ('stride16',), 'out_indices': (3,)}, 'expected one of the two'),
        ({'frozen_stages': 9}, 'expected'),
        ({'init_cfg': {'type': 'Kaiming'}}, 'expected'),
        ({'arch': 'mobilenetv2'}, 'expected'),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(InputError, match=message):
        mmnetaug.TinyNet(**{'arch': 'mobilenetv2_tiny', **wrong})


@pytest.mark.parametrize('detector', ['ssdlite', 'yolov3'])
def test_a_network_that_ends_too_early_for_a_detector(detector):
    message = (
        r'mobilenetv2_nano has no feature map .*stride16.*: it has .*stride4.*stride8.*strides 8, 16 and 32.*--arch'
    )
    with pytest.raises(InputError, match=message):
        build_detector(detector, 'mobilenetv2_nano')
