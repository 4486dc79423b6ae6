"""Normalisation fused into convolutions: the same outputs, and a model in training that stays as it was."""

import copy
from itertools import chain

import pytest
import torch
from helpers import build_detector, detector_config
from torch import nn

from mmnetaug.apis.train import train_detector
from mmnetaug.models.fusion import fused


def unsettle(model):
    """Statistics and scales as training leaves them, other ones in each layer."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, mean in [(module.running_var, 1), (module.weight, 1), (module.running_mean, 0)]:
                values.data.copy_(mean + 0.3 * torch.rand(values.shape, generator=generator))
            module.bias.data.copy_(0.2 * torch.rand(module.bias.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize('head', ['ssdlite', 'yolov3', 'rtmdet', 'gfl'])
@torch.no_grad()
def test_same_outputs_without_normalisation(head):
    model = unsettle(build_detector(head, 'mobilenetv3_w0.35' if head == 'ssdlite' else 'mobilenetv2_w0.1'))
    before = copy.deepcopy(model.state_dict())
    network = fused(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    for one, other in zip(chain(*model(image)), chain(*network(image)), strict=True):
        assert (one - other).norm() <= 1e-5 * one.norm() and one.norm() > 0
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_validation_leaves_training_alone(voc, tmp_path):
    """A run that is validated on a fused copy ends with the weights and measures of one that is not."""
    ends = {}
    for kind in ('ValLoop', 'mmnetaug.FusedValLoop'):
        config = detector_config(voc, tmp_path / kind, 'ssdlite_baseline_voc', epochs=2, train_cfg__val_interval=1)
        config.merge_from_dict({'val_cfg': {'type': kind, '_delete_': True}})
        result = train_detector(config)
        ends[kind] = result, torch.load(result['checkpoint'])['state_dict']
    (plain, weights), (quick, same) = ends.values()
    assert quick['AP'] == pytest.approx(plain['AP'], abs=1e-6)
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights.items())
