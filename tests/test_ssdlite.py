"""SSDLite: levels, anchors and widths follow the image size and the backbone."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from mmnetaug import InputError, count_macs
from mmnetaug.models import SSDLite
from mmnetaug.models.ssdlite import feature_sizes, ssd_out_indices


def detector(arch='mobilenetv2_tiny', num_classes=3, size=96):
    backbone = {'type': 'mmnetaug.TinyNet', 'arch': arch}
    model = SSDLite(backbone, num_classes, size, data_preprocessor={'type': 'mmdet.DetDataPreprocessor'})
    model.init_weights()
    return model


def sample(size, boxes=(), labels=(), ignored=()):
    meta = {'img_shape': (size, size), 'pad_shape': (size, size), 'scale_factor': (1.0, 1.0)}
    target = DetDataSample(metainfo={**meta, 'batch_input_shape': (size, size), 'ori_shape': (size, size)})
    for name, values in [('gt_instances', boxes), ('ignored_instances', ignored)]:
        setattr(target, name, InstanceData(bboxes=torch.tensor(values, dtype=torch.float32).reshape(-1, 4)))
    target.gt_instances.labels = torch.tensor(labels, dtype=torch.long)
    target.ignored_instances.labels = torch.zeros(len(ignored), dtype=torch.long)
    return target


@pytest.mark.parametrize('size', [96, 128, 224, 320, 512])
def test_levels_are_those_of_the_network(size):
    model = detector(size=size).eval()
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(1, 3, size, size))
    assert [feature.shape[-1] for feature in features] == feature_sizes(size)
    assert model.bbox_head.prior_generator.num_levels == len(features) <= 6


def test_published_levels():
    assert feature_sizes(320) == [20, 10, 5, 3, 2, 1]
    assert feature_sizes(96) == [6, 3, 2, 1], 'no second level of 1x1'


@pytest.mark.parametrize('size', [64, 100, 0, -320])
def test_impossible_sizes(size):
    with pytest.raises(InputError, match=rf'image size {size}: expected a multiple of 32'):
        detector(size=size)


def test_anchors_by_hand():
    generator = detector(size=320).bbox_head.prior_generator
    anchors = generator.grid_priors([(side, side) for side in feature_sizes(320)], device='cpu')
    assert [len(level) for level in anchors] == [6 * side**2 for side in feature_sizes(320)]
    # first cell of stride 16: centre (8, 8), sides 0.07 * 320 = 22.4 and sqrt(22.4 * 48) = 32.79
    expected = torch.tensor([[8 - 11.2, 8 - 11.2, 8 + 11.2, 8 + 11.2], [-8.395, -8.395, 24.395, 24.395]])
    torch.testing.assert_close(anchors[0][:2], expected, atol=1e-2, rtol=0)
    # then twice as wide as high, of the same area: 31.68 x 15.84
    torch.testing.assert_close(anchors[0][2], torch.tensor([-7.84, 0.08, 23.84, 15.92]), atol=1e-2, rtol=0)
    # the last level's only cell is the centre of the image: (0.15 + 4/5 * 0.9) * 320 = 278.4... at k = 4 of 5 steps
    last = anchors[-1]
    torch.testing.assert_close((last[:, :2] + last[:, 2:]) / 2, torch.full((6, 2), 160.0))
    torch.testing.assert_close(last[0, 2] - last[0, 0], torch.tensor(320 * (0.15 + 0.9 * 4 / 5)), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    'arch', ['mobilenetv2_tiny', 'mobilenetv2_w0.35', 'mobilenetv3_w0.35', 'proxylessnas_w0.35', 'mcunet', 'resnet50']
)
def test_every_backbone_fits_and_dominates(arch):
    model = detector(arch, num_classes=20, size=160)
    assert model.backbone.out_indices == ssd_out_indices(arch)
    with torch.no_grad():
        first, second = model.backbone(torch.zeros(2, 3, 160, 160))
    assert (first.shape[-1], second.shape[-1]) == (10, 5), 'strides 16 and 32'
    assert count_macs(model.backbone, (3, 160, 160)) > 0.75 * count_macs(model, (3, 160, 160))


def test_widths_by_hand():
    # MobileNetV2's 96 channels at stride 16 are 32 here: 512, 256, 256 and 128 become a third, in multiples of 8
    model = detector('mobilenetv2_w0.35', size=320)
    extras = [layer[-1].pointwise_conv.out_channels for layer in model.neck.extra_layers]
    assert extras == [168, 88, 88, 40]


def test_difficult_objects_are_neither_object_nor_background():
    torch.manual_seed(0)
    model = detector(num_classes=1)
    features = model.extract_feat(torch.randn(2, 3, 96, 96))
    anchors = torch.cat(model.bbox_head.prior_generator.grid_priors([f.shape[-2:] for f in features], device='cpu'))
    at = torch.tensor([60.0, 60, 76, 76])
    inside = (anchors[:, :2] >= at[:2]).all(1) & (anchors[:, 2:] <= at[2:]).all(1)
    assert inside.any()

    def gradient_there(ignored):
        scores, boxes = model.bbox_head(features)
        flat = [score.permute(0, 2, 3, 1).reshape(2, -1, 2) for score in scores]
        flat[0] = flat[0].detach() + 5.0 * torch.tensor([1.0, 0.0])  # confident of objects everywhere
        leaf = torch.cat(flat, 1).detach().requires_grad_()
        parts = leaf.split([part.shape[1] for part in flat], 1)
        scores = [p.reshape(2, s.shape[2], s.shape[3], -1).permute(0, 3, 1, 2) for p, s in zip(parts, scores)]
        # many objects, so that every other anchor counts among the three hardest negatives of each
        objects = [[x, y, x + 14.0, y + 14.0] for x in range(0, 44, 4) for y in range(0, 80, 4)]
        targets = [sample(96, objects, [0] * len(objects), ignored) for _ in range(2)]
        losses = model.bbox_head.loss_by_feat(
            scores,
            boxes,
            [target.gt_instances for target in targets],
            [target.metainfo for target in targets],
            [target.ignored_instances for target in targets],
        )
        (gradient,) = torch.autograd.grad(sum(losses['loss_cls']).sum(), leaf)
        return gradient[:, inside].abs().sum().item()

    assert gradient_there(ignored=[]) > 0
    assert gradient_there(ignored=[[56.0, 56, 80, 80]]) == 0


def test_learns_one_image():
    torch.manual_seed(0)
    model = detector(num_classes=2)
    image = torch.zeros(1, 3, 96, 96)
    image[:, 0, 10:50, 10:50] = 1.0
    image[:, 1, 60:80, 40:90] = 1.0
    boxes = [[10.0, 10, 50, 50], [40.0, 60, 90, 80]]
    images, targets = image.repeat(2, 1, 1, 1), [sample(96, boxes, [0, 1])] * 2
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        losses = model.loss(images, targets)
        optimizer.zero_grad()
        sum(sum(values) for values in losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        (found,) = model.eval().predict(image, [sample(96)])
    found = found.pred_instances
    assert sorted(found.labels[:2].tolist()) == [0, 1] and (found.scores[:2] > 0.5).all()
    overlaps = bbox_overlaps(found.bboxes[found.labels[:2].argsort()], torch.tensor(boxes), is_aligned=True)
    assert (overlaps > 0.6).all()


def test_worst_case_leaves_few_boxes_to_suppression():
    model = detector(num_classes=20, size=320).eval()
    with torch.no_grad():
        (found,) = model.predict(torch.randn(1, 3, 320, 320), [sample(320)])
    assert 0 < len(found.pred_instances) <= 200
