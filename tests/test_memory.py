"""Memory of int8 networks, against tflite-micro's arena and by hand."""

import pytest
import torch
import torch.nn.functional as F
from helpers import build_detector
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import nn

import mmnetaug
from mmnetaug import InputError
from mmnetaug.evaluation import describe_memory
from mmnetaug.evaluation.memory import arena_bytes, memory_and_macs
from mmnetaug.models.networks.network import input_channels


def test_two_layers_by_hand():
    """First the input and a map of 8 channels are there, 3 + 8, then this map and the next one, 8 + 4."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, 1))
    found = describe_memory(network, 32)
    assert found['peak_memory'] == 32 * 32 * (8 + 4) and found['peak_layer'] == '3'
    assert found['weight_bytes'] == (3 * 8 * 9 + 4 * 8) + (8 * 4 + 4 * 4)
    assert mmnetaug.peak_memory(network, (32, 16)) == 32 * 16 * (8 + 4)
    assert network.training


@pytest.mark.parametrize('shape', [224, (224, 224), (3, 224.0, 224), (3, 0, 224), 'abc'])
def test_a_shape_that_is_none(shape):
    with pytest.raises(InputError, match='input_shape is'):
        mmnetaug.count_macs(nn.Conv2d(3, 8, 3), shape)


def test_inference_mode_changes_no_cost():
    """PyTorch leaves operations whole there which it takes apart elsewhere."""
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Flatten(), nn.Linear(8 * 32 * 32, 4)]
    macs = 32 * 32 * 3 * 8 * 9 + 8 * 32 * 32 * 4
    outside = [nn.Sequential(*layers), mmnetaug.build_network('mobilenetv3_w0.35')]  # with attention and pooling
    truth = [(mmnetaug.count_macs(each, (3, 32, 32)), *memory_and_macs(each, 32)) for each in outside]
    with torch.inference_mode():
        inside = mmnetaug.build_network('mobilenetv3_w0.35')
        found = [(mmnetaug.count_macs(each, (3, 32, 32)), *memory_and_macs(each, 32)) for each in (*outside, inside)]
    assert truth[0][0] == sum(truth[0][2].values()) == macs and truth[0][1]['peak_memory'] == 32 * 32 * (3 + 8)
    assert found == [*truth, truth[1]]
    assert (mmnetaug.count_macs(inside, (3, 32, 32)), *memory_and_macs(inside, 32)) == truth[1]


def test_weights_of_shared_convolutions_are_there_for_each_normalisation():
    """As in RTMDet's head; one behind another is fused, and so there twice."""
    first, second = (ConvModule(3, 3, 3, padding=1, norm_cfg={'type': 'BN'}) for _ in range(2))
    second.conv = first.conv
    assert describe_memory(nn.Sequential(first, second), 32)['weight_bytes'] == 2 * (3 * 3 * 9 + 4 * 3)


class PadRightAndBottom(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def layers(*middle, last=4):
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *middle, nn.Conv2d(32, last, 1))


# What tflite-micro says of its arena's head for the int8 file of each.
ARENAS = [
    (layers(nn.ReLU()), 32, 36864),
    (layers(nn.Hardsigmoid()), 32, 36864),
    (layers(nn.Hardswish()), 32, 65536),
    (layers(nn.Sigmoid()), 32, 65536),
    (layers(nn.SiLU()), 32, 98304),
    (layers(nn.LeakyReLU(0.1)), 32, 262144),  # in float
    (layers(nn.MaxPool2d(2)), 32, 40960),
    (layers(nn.MaxPool2d(3, 2, 1)), 32, 69760),  # a padded copy
    (nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 2, 1)), 32, 17440),  # a padded copy
    (nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 2, 1)), 31, 10592),  # none: the side is odd
    (nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU6(), PadRightAndBottom(8, 8, 3, 2)), 32, 11264),
]


@pytest.mark.parametrize('network, size, head', ARENAS)
def test_small_networks_take_what_tflite_micro_takes(network, size, head):
    assert mmnetaug.peak_memory(network, size) == head


def test_classifier_takes_what_tflite_micro_takes():
    network = mmnetaug.build_network('mobilenetv2_tiny')
    found = describe_memory(network, 96)
    assert found['peak_memory'] == 230_592 and found['peak_layer'] == 'stages.0.0.spatial.conv'


def test_the_arena_has_gaps():
    """By hand: 10 at 0 and 4 above; when the 10 are gone 9 take their place, and between them and the 4 is no room for
    3. So 17 are needed, though 16 live at once."""
    assert arena_bytes([(10, 0, 1), (4, 1, 2), (9, 2, 3), (3, 2, 2)]) == 17
    # and what tflite-micro says of networks in which more is laid out than lives at once
    assert mmnetaug.peak_memory(mmnetaug.build_network('resnet14_w0.25'), 64) == 53_248
    assert mmnetaug.peak_memory(mmnetaug.build_network('mcunet', padding='tf', in_channels=1), 96) == 110_592
    assert mmnetaug.peak_memory(build_detector('rtmdet', 'mcunet', size=96, backbone__padding='tf'), 96) == 110_592
    assert mmnetaug.peak_memory(build_detector('yolov3', 'mobilenetv3_w0.35', 96, backbone__padding='tf'), 96) == 93_968


@pytest.mark.parametrize(
    'arch, head', [('mobilenetv2_tiny', 1_225_920), ('mobilenetv3_w0.35', 612_960), ('mcunet', 635_232)]
)
def test_detectors_take_what_tflite_micro_takes(arch, head):
    assert mmnetaug.peak_memory(build_detector('ssdlite', arch, size=224), 224) == head


def test_sizes_that_are_none():
    for wrong in ('96', (1, 2, 3), 96.0, None):
        with pytest.raises(InputError, match=r'image size .*: expected a side in pixels, or width and height'):
            mmnetaug.peak_memory(nn.Conv2d(3, 8, 3), wrong)
    for wrong in (0, -1, 2):
        with pytest.raises(InputError, match=r'images of .* pixels do not fit this network .*multiples of 32'):
            mmnetaug.peak_memory(nn.Conv2d(3, 8, 3), wrong)
    with pytest.raises(InputError, match=r'images of 100x100 pixels do not fit'):
        mmnetaug.peak_memory(build_detector('yolov3', size=96), 100)


def test_images_have_the_channels_of_the_first_convolution_unless_that_reads_something_else():
    """YOLOX's first convolution reads an image cut into four, of twelve channels."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yolox = MODELS.build({'type': 'CSPDarknet', 'deepen_factor': 0.33, 'widen_factor': 0.125})
    _, layers = memory_and_macs(yolox, 64)
    assert layers['stem.conv.conv'] == 32 * 32 * 9 * 12 * 8
    assert input_channels(nn.Conv2d(1, 8, 3)) == input_channels(mmnetaug.build_network('mcunet', in_channels=1)) == 1
    assert input_channels(nn.Conv2d(3, 8, 3)) == 3


def test_a_supernet_counts_as_what_it_acts_as():
    assert mmnetaug.peak_memory(mmnetaug.NetAug('mobilenetv2_tiny'), 96) == 230_592


def test_what_a_network_of_others_may_have():
    """A transposed convolution has no padded copy; outputs may be other things than maps, or the same map twice."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 8, 4, 2, 1))

        def forward(self, x):
            y = self.layers(x)
            return {'maps': [y, y.flatten(2)], 'name': 'odd', 'constant': torch.ones(3)}

    assert mmnetaug.peak_memory(Odd(), 32) == 32 * 32 * (8 + 4 * 8)
