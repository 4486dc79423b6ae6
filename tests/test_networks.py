"""The networks: published sizes, published outputs, wrong names."""

import re

import numpy as np
import pytest
import torch

import mmnetaug
from mmnetaug import InputError, archs
from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.apis.overrides import epochs_options, worker_options
from mmnetaug.archs import Block, Conv, Pool
from mmnetaug.evaluation.memory import memory_and_macs
from mmnetaug.models.task_modules.prior_generators import width_height

# Published: million MACs at the paper's input size, million parameters, 1000 classes.
PUBLISHED = [
    ('mobilenetv2_tiny', 144, '23.499', '0.7503'),
    ('mobilenetv2_w0.35', 160, '30.875', '1.6771'),
    ('mobilenetv3_w0.35', 160, '19.496', '2.1098'),
    ('proxylessnas_w0.35', 160, '35.717', '1.7813'),
    ('mcunet', 176, '81.786', '0.7374'),
    ('resnet50', 224, '4089', '25.56'),
]
REFERENCES = [name for name, *_ in PUBLISHED if name != 'resnet50']


@pytest.mark.parametrize('arch, size, macs, params', PUBLISHED)
def test_macs_and_parameters_are_the_published_ones(arch, size, macs, params):
    network = mmnetaug.build_network(arch)

    def digits(text):
        return len(text.partition('.')[2])

    assert f'{mmnetaug.count_macs(network, (3, size, size)) / 1e6:.{digits(macs)}f}' == macs
    assert f'{mmnetaug.count_params(network) / 1e6:.{digits(params)}f}' == params
    assert network.arch.input_size == size


def test_macs_of_a_hand_counted_network():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 x 8 places, 8 x 27 each
        torch.nn.BatchNorm2d(8),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),  # 8 x 8 places, 8 x 9 each
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    network.train()
    assert mmnetaug.count_macs(network, (3, 16, 16)) == 64 * 8 * 27 + 64 * 8 * 9 + 40
    assert network.training
    network[1].eval()  # frozen
    network.double()
    assert mmnetaug.count_macs(network, (3, 16, 16)) == 64 * 8 * 27 + 64 * 8 * 9 + 40
    assert [module.training for module in network] == [True, False, True, True, True, True]
    assert mmnetaug.peak_memory(network, 16) == mmnetaug.peak_memory(network.float(), 16)


class Tokens(torch.nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


def test_cost_of_what_has_no_parameters():
    assert mmnetaug.count_macs(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.AvgPool2d(2)), (3, 16, 16)) == 0
    assert mmnetaug.peak_memory(torch.nn.ReLU(), 16) == 16 * 16 * 3
    assert mmnetaug.peak_memory(torch.nn.AvgPool2d(2), 16) == 16 * 16 * 3 + 8 * 8 * 3


def test_macs_of_attention():
    """PyTorch's fast kernels for it are not counted; patches of 16x16 of 64x64 pixels, d = 64, 128 hidden."""
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 16, 16), Tokens(), layer)
    tokens = 4 * 4
    expected = 3 * 256 * 64 * tokens + 4 * tokens * 64**2 + 2 * tokens**2 * 64 + 2 * tokens * 64 * 128
    assert mmnetaug.count_macs(network, (3, 64, 64)) == expected
    assert memory_and_macs(network, 64)[1].total() == expected


@pytest.mark.parametrize('arch', REFERENCES)
def test_published_checkpoint_gives_the_published_outputs(arch, shared):
    network = mmnetaug.build_network(arch, num_classes=10)
    mmnetaug.load_weights(network, shared / 'reference' / f'{arch}.pth')
    reference = np.load(shared / 'reference' / f'{arch}.npz')
    network.eval()
    with torch.no_grad():
        image = torch.from_numpy(reference['image'])
        outputs = {'logits': network(image)}
        features = network.stem(image)
        for i, stage in enumerate(network.stages, start=1):
            features = outputs[f'stage{i}'] = stage(features)
    for name, output in outputs.items():
        expected = torch.from_numpy(reference[name])
        assert (output - expected).norm() / expected.norm() < 5e-5, name


def test_any_width_multiplier_builds_and_wider_costs_more():
    macs = [
        mmnetaug.count_macs(mmnetaug.build_network(f'mobilenetv2_w{width}', 10), (3, 64, 64))
        for width in ('0.1', '0.25', '0.5', '1.0')
    ]
    assert macs == sorted(set(macs))


def test_mobilenetv2_nano():
    def block(width, middle, out):
        return width * middle + 9 * middle + middle * out + 2 * (2 * middle + out)

    stem = 27 * 16 + 2 * 16 + (9 * 16 + 16 * 8 + 2 * (16 + 8))
    stages = block(8, 24, 16) + block(16, 48, 32)
    head = 32 * 64 + 2 * 64 + 64 * 100 + 100
    network = mmnetaug.build_network('mobilenetv2_nano', 100)
    assert mmnetaug.count_params(network) == stem + stages + head
    # At 16 px, stem and first block give maps of 8x8, the expansions are made at 8x8 and 4x4.
    macs = 64 * (27 * 16 + 9 * 16 + 16 * 8) + 64 * 8 * 24 + 16 * (9 * 24 + 24 * 16) + 16 * 16 * 48
    macs += 4 * (9 * 48 + 48 * 32 + 32 * 64) + 64 * 100
    assert mmnetaug.count_macs(network, (3, 16, 16)) == macs


def test_resnet14_is_a_resnet50_with_one_bottleneck_a_stage():
    """Its tensors are those of a ResNet50 of the same width, less those of further blocks."""
    large = mmnetaug.build_network('resnet50_w0.25', 100).state_dict()
    small = mmnetaug.build_network('resnet14_w0.25', 100).state_dict()
    assert {name: tensor.shape for name, tensor in small.items()} == {
        name: tensor.shape for name, tensor in large.items() if not re.match(r'stages\.\d\.[1-9]', name)
    }


@pytest.mark.parametrize('arch', ['mobilenetv9', 'mobilenetv2', 'mobilenetv2_w', 'resnet18_w0.5', 'mobilenetv2_w-1'])
def test_unknown_architecture_lists_the_known_ones(arch):
    with pytest.raises(InputError, match=r'unknown architecture .*mcunet.*mobilenetv2_w0\.35'):
        mmnetaug.build_network(arch)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'head': (Conv(64),)}, r"^own: its head has no Pool\('avg'\)"),
        ({'stem': (Conv(8, act='silu'),)}, r"^own: activation 'silu': expected one of relu, relu6, hswish"),
        ({'stages': ((Block(8, act_out='gelu'),),)}, r"activation 'gelu'"),
        ({'stages': ((Block(16, 8, shortcut='identity'),),)}, r'Block\(out=16.*given 8 channels: expected stride 1'),
        ({'stages': ((Block(8, 8, stride=2, shortcut='identity'),),)}, r'expected stride 1'),
    ],
)
def test_rows_of_ones_own_that_are_no_network(monkeypatch, changes, message):
    rows = {'input_size': 32, 'stem': (Conv(8, 3, 2),), 'stages': (), 'head': (Pool('avg'),)}
    monkeypatch.setitem(archs.NETWORKS, 'own', lambda: {**rows, **changes})
    with pytest.raises(InputError, match=message):
        mmnetaug.build_network('own')


def test_a_family_of_any_name(monkeypatch):
    monkeypatch.setitem(archs.FAMILIES, 'My_fam', archs.FAMILIES['mobilenetv2'])
    own, known = (mmnetaug.build_network(f'{family}_w0.35', 10) for family in ('My_fam', 'mobilenetv2'))
    assert mmnetaug.count_params(own) == mmnetaug.count_params(known)


@pytest.mark.parametrize('arch', ['mobilenetv2_w0', 'mobilenetv2_w0.0', 'proxylessnas_w99'])
def test_width_multiplier_out_of_range(arch):
    with pytest.raises(InputError, match='width multiplier'):
        mmnetaug.build_network(arch)


@pytest.mark.parametrize('num_classes', [0, -3, 2.5, '10'])
def test_wrong_number_of_classes(num_classes):
    with pytest.raises(InputError, match='num_classes'):
        mmnetaug.build_network('mobilenetv2_tiny', num_classes)


def test_whole_numbers_of_numpy():
    labels, side = np.array([0, 1, 9]), np.array([160, 128])
    network = mmnetaug.build_network('mobilenetv2_tiny', labels.max() + 1)
    assert type(network.num_classes) is int and network.num_classes == network.classifier.out_features == 10
    assert mmnetaug.peak_memory(network, tuple(side)) == mmnetaug.peak_memory(network, (160, 128))
    assert all(type(each) is int for size in (side[0], tuple(side)) for each in width_height(size))
    config = read_config('ssdlite_baseline_voc', 'det')
    options = {
        **size_options(config, side[0]),
        **worker_options(config, labels[1]),
        **epochs_options(config, labels[2]),
    }
    assert repr(options) == repr(
        {**size_options(config, 160), **worker_options(config, 1), **epochs_options(config, 9)}
    )
    for wrong in (np.bool_(True), np.float64(3)):
        with pytest.raises(InputError, match='expected a whole number'):
            mmnetaug.build_network('mobilenetv2_tiny', wrong)
