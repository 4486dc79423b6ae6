"""YOLOv3: the same function as mmdet's, with the widths of the backbone, and what its loss does otherwise."""

from functools import partial

import mmdet.models  # noqa: F401, registers them
import pytest
import torch
from helpers import ROOT, build_detector, detector_config, learn_one_image, sample
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmnetaug import InputError, count_macs
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import epochs_options
from mmnetaug.apis.test import checkpoint_config, resize_test
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector

detector = partial(build_detector, 'yolov3')


def test_equals_mmdet_with_full_convolutions():
    config = {
        'type': 'YOLOV3',
        'backbone': {'type': 'MobileNetV2', 'out_indices': (2, 4, 6), 'act_cfg': {'type': 'ReLU6'}},
        'neck': {'type': 'YOLOV3Neck', 'num_scales': 3, 'in_channels': [320, 96, 32], 'out_channels': [96, 96, 96]},
        'bbox_head': {
            'type': 'YOLOV3Head',
            'num_classes': 20,
            'in_channels': [96, 96, 96],
            'out_channels': [96, 96, 96],
            'bbox_coder': {'type': 'YOLOBBoxCoder'},
            # as in mmdet's config for MobileNetV2
            'loss_cls': {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'reduction': 'sum'},
            'loss_conf': {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'reduction': 'sum'},
            'loss_xy': {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': 2.0, 'reduction': 'sum'},
            'loss_wh': {'type': 'MSELoss', 'loss_weight': 2.0, 'reduction': 'sum'},
        },
        'test_cfg': {
            'nms_pre': 1000,
            'score_thr': 0.05,
            'conf_thr': 0.005,
            'nms': {'type': 'nms', 'iou_threshold': 0.45},
            'max_per_img': 100,
        },
    }
    init_default_scope('mmdet')  # another test may have left another one
    torch.manual_seed(3)  # no two of its scores are nearly equal: of such either may come first
    theirs = MMDET_MODELS.build(ConfigDict(config)).eval()
    ours = detector('mobilenetv2_w1.0', 20, 416, neck__depthwise=False, bbox_head__depthwise=False).eval()
    # both list their layers in the order of computation; mmdet's backbone has one more, behind the features
    for part in ('backbone', 'neck', 'bbox_head'):
        targets, sources = (getattr(model, part).state_dict() for model in (ours, theirs))
        for target, source in zip(targets.values(), list(sources.values())[: len(targets)]):
            if source.ndim == 1 and source.is_floating_point():
                source.copy_(torch.rand(source.shape) * 0.2 + 0.9)
            target.copy_(source)
    image = torch.randn(2, 3, 128, 160)
    with torch.no_grad():
        expected, found = ((model(image, mode='tensor')[0]) for model in (theirs, ours))
        for a, b in zip(expected, found):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4 * a.abs().max().item())
        boxes = [model.predict(image[:, :, :, :128], [sample(128)] * 2)[0].pred_instances for model in (theirs, ours)]
        batch = [sample(128, [[10.0, 10, 90, 100]], [3]), sample(128, [[20.0, 60, 50, 90], [40, 2, 120, 40]], [7, 0])]
        theirs.bbox_head.assigner = ours.bbox_head.assigner
        theirs.bbox_head.sampler = ours.bbox_head.sampler
        losses = [model.loss(image[:, :, :, :128], batch) for model in (theirs, ours)]
    for name, values in losses[0].items():
        for theirs_level, ours_level in zip(values, losses[1][name]):
            torch.testing.assert_close(ours_level, theirs_level / 2, rtol=1e-3, atol=1e-4)
    assert len(boxes[0])
    torch.testing.assert_close(boxes[1].bboxes, boxes[0].bboxes, rtol=1e-3, atol=1e-2)
    assert boxes[1].labels.tolist() == boxes[0].labels.tolist()


@pytest.mark.parametrize(
    'arch', ['mobilenetv2_tiny', 'mobilenetv2_w0.35', 'mobilenetv3_w0.35', 'proxylessnas_w0.35', 'mcunet', 'resnet50']
)
def test_every_backbone_fits_and_dominates(arch):
    model = detector(arch, num_classes=20, size=416).eval()
    with torch.no_grad():
        levels = model.extract_feat(torch.zeros(1, 3, 96, 128))
    assert [level.shape[-2:] for level in levels] == [(3, 4), (6, 8), (12, 16)]
    assert count_macs(model.backbone, (3, 96, 96)) > 0.6 * count_macs(model, (3, 96, 96))
    convolutions = [m for part in (model.neck, model.bbox_head) for m in part.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.groups == conv.in_channels for conv in convolutions if conv.kernel_size == (3, 3))
    assert sum(conv.kernel_size == (3, 3) for conv in convolutions) == 3 * 2 + 3


def test_anchors_grow_with_the_size():
    anchors = [detector(size=size).bbox_head.prior_generator.base_sizes for size in (416, 832)]
    assert anchors[0][0] == [(116, 90), (156, 198), (373, 326)] and anchors[1][2][0] == (20, 26)
    with pytest.raises(InputError, match='image size 400: expected a multiple of 32'):
        detector(size=400)


def losses(model, images, targets):
    return {name: sum(values) for name, values in model.loss(images, targets).items()}


def test_loss_is_the_mean_over_images():
    model = detector().eval()
    images = torch.randn(2, 3, 96, 96)
    targets = [sample(96, [[10.0, 10, 50, 50]], [0]), sample(96, [[40.0, 20, 90, 60], [5, 5, 30, 20]], [1, 2])]
    both = losses(model, images, targets)
    single = [losses(model, images[i : i + 1], targets[i : i + 1]) for i in (0, 1)]
    for name, value in both.items():
        torch.testing.assert_close(value, (single[0][name] + single[1][name]) / 2)


def test_difficult_objects_are_not_background():
    model = detector(size=416)
    head = model.bbox_head
    anchors = head.prior_generator.grid_priors([(3, 3), (6, 6), (12, 12)], device='cpu')
    flags = [torch.zeros(len(level), dtype=torch.uint8) for level in anchors]
    exactly = torch.cat(anchors)[[30]]  # an ignored object exactly on an anchor
    for ignored, expected in [(torch.zeros(0, 4), 1), (exactly, 0)]:
        objects = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        objects.set_metainfo({'ignored': ignored})
        targets, background = head._get_targets_single(anchors, flags, objects)
        assert background[30] == expected and not targets.any()
    far = bbox_overlaps(torch.cat(anchors), exactly)[:, 0] == 0
    assert (background[far] == 1).all()
    crowd = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    crowd.set_metainfo({'ignored': torch.tensor([[0.0, 0, 416, 416]])})
    _, background = head._get_targets_single(anchors, flags, crowd)
    every = torch.cat(anchors)
    inside = (every.min(dim=1).values >= 0) & (every.max(dim=1).values <= 416)
    assert inside.any() and not background[inside].any(), 'all anchors in a crowd'
    # and the loss hands them on: objectness of that anchor no longer counts
    images = torch.randn(1, 3, 96, 96)
    model = detector().eval()
    anchor = model.bbox_head.prior_generator.grid_priors([(3, 3), (6, 6), (12, 12)], device='cpu')[1][60]
    plain = losses(model, images, [sample(96, [[10.0, 10, 50, 50]], [0])])
    ignoring = losses(model, images, [sample(96, [[10.0, 10, 50, 50]], [0], ignored=[anchor.tolist()])])
    assert ignoring['loss_conf'] < plain['loss_conf'] and ignoring['loss_cls'] == plain['loss_cls']


def test_learns_one_image():
    torch.manual_seed(0)
    # normalisation over one image repeated leaves its statistics rough: less is asked than of SSDLite
    learn_one_image(detector(num_classes=2), lr=2e-3, steps=200, score=0.2, overlap=0.4)


@pytest.mark.parametrize(
    'data, epochs, milestones', [('voc', 200, [160, 180]), ('coco', 280, [220, 250]), ('voc', 20, [16, 18])]
)
@pytest.mark.parametrize('method', ['baseline', 'netaug', 'baseline_mixup', 'netaug_mixup'])
def test_recipe_of_the_paper(data, epochs, milestones, method):
    config = read_config(ROOT / f'configs/det/yolov3_{method}_{data}.py', 'det')
    if epochs < 200:
        config.merge_from_dict(epochs_options(config, epochs))
    warmup, steps = config.param_scheduler
    assert (config.train_cfg.max_epochs, steps.milestones, steps.gamma, warmup.end) == (epochs, milestones, 0.1, 2)
    optimizer = {'type': 'SGD', 'lr': 1e-3, 'momentum': 0.9, 'weight_decay': 5e-4}
    assert config.optim_wrapper.optimizer.to_dict() == optimizer and 'paramwise_cfg' not in config.optim_wrapper
    assert config.train_dataloader.batch_size == 64 == config.auto_scale_lr.base_batch_size
    hooks = [hook.type for hook in config.get('custom_hooks', [])]
    assert hooks == (['mmnetaug.DetectionMixupHook'] if method.endswith('mixup') else [])
    pretrained = config.model.backbone.init_cfg.checkpoint
    assert pretrained == f'work_dirs/{method.split("_")[0]}_mbv2/export.pth'


def test_sizes_of_training(voc, tmp_path, monkeypatch):
    config = detector_config(voc, tmp_path, 'yolov3_baseline_voc', size=416)
    (resize,) = config.model.data_preprocessor.batch_augments
    assert resize.random_size_range == (320, 608) and resize.size_divisor == 32
    # the size changes in every step, and boxes to be ignored are resized too
    model = detector('mobilenetv2_w0.1', 2, 416).train()
    info, sides = {'seed': 0}, set()
    monkeypatch.setattr(MessageHub.get_current_instance(), 'get_info', lambda key: info[key])
    for info['iter'] in range(1, 21):
        target = sample(608, [[0.0, 0, 304, 608]], [0], ignored=[[304.0, 304, 608, 608]])
        data = model.data_preprocessor({'inputs': [torch.zeros(3, 608, 608)], 'data_samples': [target]}, True)
        side = data['inputs'].shape[-1]
        sides.add(side)
        target = data['data_samples'][0]
        assert target.gt_instances.bboxes.tolist() == [pytest.approx([0, 0, side / 2, side])]
        assert target.ignored_instances.bboxes.tolist() == [pytest.approx([side / 2, side / 2, side, side])]
    assert len(sides) > 4 and sides <= set(range(320, 609, 32))
    scales = [
        next(transform.scale for transform in loader.dataset.pipeline if transform.type == 'Resize')
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    ]
    assert scales == [(608, 608), (416, 416), (416, 416)]


def evaluate(checkpoint, work_dir, size=None):
    config = checkpoint_config(checkpoint)
    if size:
        resize_test(config, size)
    config.work_dir = str(work_dir)
    return evaluate_detector(config, checkpoint)


def test_one_detector_at_several_sizes(voc, tmp_path):
    result = train_detector(detector_config(voc, tmp_path / 'run', 'yolov3_baseline_voc', epochs=1))
    own, larger = (evaluate(result['checkpoint'], tmp_path / f'test{size}', size) for size in (None, 192))
    assert (own['size'], own['macs'], own['AP50_area']) == (96, result['macs'], result['AP50_area'])
    assert (larger['size'], larger['macs'], larger['params']) == (192, 4 * result['macs'], result['params'])


def test_ssdlite_has_one_size(voc, tmp_path):
    result = train_detector(detector_config(voc, tmp_path / 'run', epochs=1))
    with pytest.raises(InputError, match=r'an SSDLite for 96: .*--size 128'):
        evaluate(result['checkpoint'], tmp_path / 'test', 128)


def test_relu6_is_a_value_of_the_config():
    torch.manual_seed(0)
    model = detector(
        'mobilenetv2_tiny', num_classes=2, neck__act_cfg={'type': 'ReLU6'}, bbox_head__act_cfg={'type': 'ReLU6'}
    )
    config = read_config(ROOT / 'configs/det/yolov3_relu6_baseline_voc.py', 'det')
    for built in (model, MMDET_MODELS.build({**config.model, 'backbone': {**config.model.backbone, 'init_cfg': None}})):
        kinds = {type(part) for part in built.modules() if 'LU' in type(part).__name__}
        assert kinds == {nn.ReLU6}
    learn_one_image(model, lr=2e-3, steps=200, score=0.2, overlap=0.4)  # as with LeakyReLU


@pytest.mark.parametrize(('shift', 'expected'), [(0.2, 0), (0.6, 1)])
def test_how_much_of_an_anchor_may_lie_on_what_is_ignored(shift, expected):
    """Shifted by a fifth of its width the overlap is 0.8 / 1.2, by three fifths 0.4 / 1.6, 0.4 of the anchor."""
    head = detector(size=416).bbox_head
    anchors = head.prior_generator.grid_priors([(3, 3), (6, 6), (12, 12)], device='cpu')
    flags = [torch.zeros(len(level), dtype=torch.uint8) for level in anchors]
    anchor = torch.cat(anchors)[30]
    ignored = anchor + shift * (anchor[2] - anchor[0]) * torch.tensor([1.0, 0, 1, 0])
    objects = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    objects.set_metainfo({'ignored': ignored[None]})
    _, background = head._get_targets_single(anchors, flags, objects)
    assert background[30] == expected


def test_yolov3_anchors_follow_width_and_height():
    """Of 416 pixels: (116, 90) and so on; twice as wide, and as high."""
    anchors = detector(size=(832, 416)).bbox_head.prior_generator.base_sizes
    assert anchors[0] == [(232, 90), (312, 198), (746, 326)]
