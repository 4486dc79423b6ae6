"""GFL's head: towers of each level, and shared ones as in mmdet and in detectors of before."""

from itertools import chain

import pytest
import torch
from helpers import build_detector
from torch import nn


def head(share):
    return build_detector('gfl', bbox_head__share_conv=share).bbox_head


@torch.no_grad()
def outputs(head, training=False):
    """Of three levels, each with a mean and a spread of its own: level by level, scores and distributions."""
    generator = torch.Generator().manual_seed(0)
    features = [
        level + (level + 1) * torch.randn(4, 48, 24 >> level, 24 >> level, generator=generator) for level in range(3)
    ]
    return list(chain(*zip(*head.train(training)(features), strict=True)))


@pytest.mark.parametrize('share', [False, True])
def test_evaluation_normalises_as_training(share):
    """Running statistics are those of the last batch: of the level itself, or where it is shared of the last level."""
    towers = head(share)
    for module in towers.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    pairs = zip(outputs(towers, training=True), outputs(towers), strict=True)
    differences = [float((one - other).norm() / (one - one.mean()).norm()) for one, other in pairs]
    assert max(differences[4:]) < 0.03
    assert min(differences[:4]) > 0.1 if share else max(differences[:4]) < 0.03, differences


def test_own_towers_of_shared_weights_find_what_mmdets_do():
    shared, own = head(True), head(False)
    for towers in (own.cls_convs, own.reg_convs):
        assert len(towers) == 3
    weights = shared.state_dict()
    for name, tensor in own.state_dict().items():
        kind, _, *rest = name.split('.')
        tensor.copy_(weights['.'.join([kind, *rest]) if kind in ('cls_convs', 'reg_convs') else name])
    for one, other in zip(outputs(shared), outputs(own), strict=True):
        torch.testing.assert_close(one, other)
