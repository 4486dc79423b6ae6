"""Benchmarks of training steps: the work that they state, and what they say of it."""

import pytest
import torch
from helpers import build_detector

from mmnetaug import InputError
from mmnetaug.evaluation.detector_speed import compared, measure_freezing
from mmnetaug.evaluation.growth import _faster, _kept_bytes, measure_growth


def test_work_and_memory_of_a_step():
    found = measure_growth(repeats=1, varied={'batch': (2, 4), 'size': (32, 64)})
    few, many, small, large = found['rows']
    assert many['gmacs'] == pytest.approx(2 * few['gmacs'], rel=1e-2)
    assert large['gmacs'] == pytest.approx(4 * small['gmacs'], rel=0.1)  # but for the classifier
    assert many['memory_mb'] == pytest.approx(2 * few['memory_mb'], rel=0.05)
    assert all(row['step_ms'] > 0 for row in found['rows'])
    with pytest.raises(InputError, match='depth is not varied'):
        measure_growth(varied={'depth': (1, 2)})


def test_what_autograd_keeps():
    """Of two linear layers with a ReLU between: the input, and the ReLU's output, which the second layer shares."""
    network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    assert _kept_bytes(network, torch.randn(10, 8)) == 4 * 10 * (8 + 16)


def test_growth_beyond_the_work_is_said():
    before = {'batch': 4, 'gmacs': 1.0, 'step_ms': 10.0, 'memory_mb': 100.0}
    assert _faster('batch', before, {'batch': 8, 'gmacs': 2.0, 'step_ms': 20.0, 'memory_mb': 210.0}) == ''
    said = _faster('batch', before, {'batch': 8, 'gmacs': 2.0, 'step_ms': 30.0, 'memory_mb': 200.0})
    assert said == 'batch 4 to 8: the work x2.00, the time x3.00, the memory x2.00'


def test_ratios_are_of_pairs():
    found = compared({'old': [2.0, 8.0, 6.0], 'new': [1.0, 2.0, 3.0]}, 'old')
    assert found == {'old_ms': 6.0, 'new_ms': 2.0, 'new_ratio': 2.0}


def test_steps_with_frozen_stages():
    detectors = {name: build_detector(arch='mobilenetv2_w0.1') for name in ('all', 'part')}
    detectors['part'].backbone.requires_grad_(False)
    before = {name: detectors[name].backbone.stages[0][0].project.conv.weight.clone() for name in detectors}
    found = measure_freezing(detectors, 96, 2, repeats=1)
    assert found['all_ms'] > 0 and found['part_ratio'] > 0
    after = {name: detector.backbone.stages[0][0].project.conv.weight for name, detector in detectors.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {'all'}
