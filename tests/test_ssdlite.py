"""SSDLite: levels, anchors and widths follow the image size and the backbone."""

import math
from functools import partial

import pytest
import torch
from helpers import build_detector, learn_one_image, sample
from mmdet.models.dense_heads import base_dense_head
from mmengine.structures import InstanceData

from mmnetaug import InputError, count_macs
from mmnetaug.models.task_modules.prior_generators import ssdlite_feature_sizes

detector = partial(build_detector, 'ssdlite')


@pytest.mark.parametrize('size', [96, 128, 224, 320, 512])
def test_levels_are_those_of_the_network(size):
    model = detector(size=size).eval()
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(1, 3, size, size))
    assert [tuple(feature.shape[-2:]) for feature in features] == ssdlite_feature_sizes(size)
    assert model.bbox_head.prior_generator.num_levels == len(features) <= 6


def test_published_levels():
    assert ssdlite_feature_sizes(320) == [(side, side) for side in (20, 10, 5, 3, 2, 1)]
    assert ssdlite_feature_sizes(96) == [(side, side) for side in (6, 3, 2, 1)], 'no second level of 1x1'


@pytest.mark.parametrize('size', [64, 100, 0, -320])
def test_impossible_sizes(size):
    with pytest.raises(InputError, match=rf'image size {size}: expected a multiple of 32'):
        detector(size=size)


def test_anchors_by_hand():
    generator = detector(size=320).bbox_head.prior_generator
    anchors = generator.grid_priors(ssdlite_feature_sizes(320), device='cpu')
    assert [len(level) for level in anchors] == [6 * side**2 for side, _ in ssdlite_feature_sizes(320)]
    # first cell of stride 16: centre (8, 8), sides 0.12 * 320 = 38.4 and sqrt(38.4 * 112) = 65.580
    expected = torch.tensor([[8 - 19.2, 8 - 19.2, 8 + 19.2, 8 + 19.2], [-24.790, -24.790, 40.790, 40.790]])
    torch.testing.assert_close(anchors[0][:2], expected, atol=1e-2, rtol=0)
    # then twice as wide as high, of the first one's area: 54.306 x 27.153
    torch.testing.assert_close(anchors[0][2], torch.tensor([-19.153, -5.576, 35.153, 21.576]), atol=1e-2, rtol=0)
    # the last level's only cell is the image; six levels from 0.35 to 1.05 make steps of 0.14, the last from 0.91
    last = anchors[-1]
    torch.testing.assert_close((last[:, :2] + last[:, 2:]) / 2, torch.full((6, 2), 160.0))
    torch.testing.assert_close(last[0, 2] - last[0, 0], torch.tensor(320 * 0.91), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    'arch', ['mobilenetv2_tiny', 'mobilenetv2_w0.35', 'mobilenetv3_w0.35', 'proxylessnas_w0.35', 'mcunet', 'resnet50']
)
def test_every_backbone_fits_and_dominates(arch):
    model = detector(arch, num_classes=20, size=160)
    with torch.no_grad():
        first, second, *_ = model.extract_feat(torch.zeros(2, 3, 160, 160))
    assert (first.shape[-1], second.shape[-1]) == (10, 5), 'strides 16 and 32'
    assert count_macs(model.backbone, (3, 160, 160)) > 0.7 * count_macs(model, (3, 160, 160))


def test_widths_by_hand():
    # The last stage expands 32 channels to 192, a third of MobileNetV2's 96 to 576; so do 512, 256, 256 and 128
    model = detector('mobilenetv2_w0.35', size=320)
    assert model.bbox_head.in_channels[:2] == [192, 112]
    extras = [layer[-1].pointwise_conv.out_channels for layer in model.neck.extra_layers]
    assert extras == [168, 88, 88, 40]


def test_difficult_objects_are_neither_object_nor_background():
    target = sample(96, boxes=[[0, 0, 20, 20]], labels=[0], ignored=[[50, 50, 80, 80]])
    anchors = InstanceData(priors=torch.tensor([[2.0, 2, 22, 22], [25, 0, 45, 20], [55, 55, 75, 75]]))
    assigner = detector().bbox_head.assigner
    assigned = assigner.assign(anchors, target.gt_instances, target.ignored_instances)
    assert assigned.gt_inds.tolist() == [1, 0, -1], 'the object, background, nothing'


def test_learns_one_image():
    torch.manual_seed(0)
    learn_one_image(detector(num_classes=2), lr=1e-2, steps=150)


def test_worst_case_leaves_few_boxes_to_suppression(monkeypatch):
    """An untrained network scores everything over the threshold: each level passes on its nms_pre best alone."""
    candidates = []
    suppress = base_dense_head.batched_nms

    def counting_nms(boxes, *args, **kwargs):
        candidates.append(len(boxes))
        return suppress(boxes, *args, **kwargs)

    monkeypatch.setattr(base_dense_head, 'batched_nms', counting_nms)
    model = detector(num_classes=20, size=320).eval()
    with torch.no_grad():
        (found,) = model.predict(torch.randn(1, 3, 320, 320), [sample(320)])
    assert 200 < candidates[0] <= 6 * model.test_cfg.nms_pre < 6 * 400
    assert 0 < len(found.pred_instances) <= model.test_cfg.max_per_img


def test_extra_layers_on_a_wide_backbone_are_those_on_mobilenetv2():
    neck = detector('mobilenetv2_w1.4', size=320).neck
    assert neck.out_channels[0] > 576 and neck.out_channels[2:] == (512, 256, 256, 128)


def test_anchors_of_images_that_are_not_square():
    """Squares stay squares, of the geometric mean of the image's sides."""
    generator = detector(size=(320, 128)).bbox_head.prior_generator
    anchors = generator.grid_priors(ssdlite_feature_sizes((320, 128)), device='cpu')
    side = 0.12 * math.sqrt(320 * 128)  # in the first cell, of stride 16
    expected = torch.tensor([8 - side / 2, 8 - side / 2, 8 + side / 2, 8 + side / 2])
    torch.testing.assert_close(anchors[0][0], expected, atol=1e-2, rtol=0)
