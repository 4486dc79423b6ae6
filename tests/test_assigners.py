"""What is to be ignored is no background, for heads without anchors of many sizes."""

import pytest
import torch
from helpers import build_detector, sample
from mmengine.structures import InstanceData

# An object, a crowd that is smaller than the priors that lie in it, and priors centred in the object, in neither and in
# the crowd.
OBJECT, CROWD = [0.0, 0, 40, 40], [62.0, 62, 68, 68]
CENTRES = torch.tensor([[20.0, 20], [50, 20], [65, 65]])


@pytest.fixture(params=['rtmdet', 'gfl'])
def head(request):
    return request.param


@pytest.mark.parametrize(('boxes', 'expected'), [([OBJECT], [1, 0, -1]), ([], [0, 0, -1])])
def test_priors_in_what_is_ignored(head, boxes, expected):
    assigner = build_detector(head).bbox_head.assigner
    corners = torch.cat([CENTRES - 20, CENTRES + 20], dim=1)
    priors = torch.cat([CENTRES, torch.full((3, 2), 8.0)], dim=1) if head == 'rtmdet' else corners
    found = InstanceData(priors=priors, bboxes=corners, scores=torch.zeros(3, 3))
    target = sample(96, boxes, [0] * len(boxes), [CROWD])
    levels = {'num_level_priors': [3]} if head == 'gfl' else {}
    for ignored, last in ((target.ignored_instances, -1), (sample(96).ignored_instances, 0), (None, 0)):
        assigned = assigner.assign(
            pred_instances=found, gt_instances=target.gt_instances, gt_instances_ignore=ignored, **levels
        )
        assert assigned.gt_inds.tolist() == [*expected[:2], last]


def test_losses_do_not_count_it(head):
    """Scores are one half everywhere, so that each of 189 points is as large a loss; 30 and more lie in the crowd."""
    model = build_detector(head).eval()
    for name, part in model.bbox_head.named_modules():
        if name.startswith(('rtm_cls', 'gfl_cls')) and isinstance(part, torch.nn.Conv2d):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    losses = []
    for ignored in ([], [[48.0, 48, 96, 96]]):
        with torch.no_grad():
            found = model.loss(torch.zeros(1, 3, 96, 96), [sample(96, [[10.0, 10, 40, 40]], [0], ignored)])
        losses.append(float(sum(found['loss_cls'])))
    assert 0.6 * losses[0] < losses[1] < 0.9 * losses[0]


def test_an_object_within_a_crowd_keeps_its_priors(head):
    assigner = build_detector(head).bbox_head.assigner
    corners = torch.cat([CENTRES - 20, CENTRES + 20], dim=1)
    priors = torch.cat([CENTRES, torch.full((3, 2), 8.0)], dim=1) if head == 'rtmdet' else corners
    found = InstanceData(priors=priors, bboxes=corners, scores=torch.zeros(3, 3))
    target = sample(96, [OBJECT], [0], [[0.0, 0, 96, 96]])
    levels = {'num_level_priors': [3]} if head == 'gfl' else {}
    assigned = assigner.assign(
        pred_instances=found, gt_instances=target.gt_instances, gt_instances_ignore=target.ignored_instances, **levels
    )
    assert assigned.gt_inds.tolist() == [1, -1, -1]
