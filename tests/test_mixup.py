"""Detection mixup: images, boxes, their weights through transforms and into the losses, and when it stops."""

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import build_detector, detector_config, sample, write_voc
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from mmnetaug import InputError
from mmnetaug.apis.overrides import detection_mixup_options
from mmnetaug.apis.train import train_detector
from mmnetaug.datasets.transforms import DetectionMixup, KeepWeights, add_detection_mixup
from mmnetaug.engine.hooks import DetectionMixupHook
from mmnetaug.registry import DATASETS

ssdlite, yolov3 = partial(build_detector, 'ssdlite'), partial(build_detector, 'yolov3')


def image(path, value, shape, boxes, labels):
    return {
        'img_path': path,
        'img': np.full((*shape, 3), value, np.uint8),
        'img_shape': shape,
        'gt_bboxes': HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        'gt_bboxes_labels': np.array(labels, np.int64),
        'gt_ignore_flags': np.zeros(len(labels), bool),
    }


def mix(monkeypatch, share, first, second):
    monkeypatch.setattr(np.random, 'beta', lambda a, b: share if a == b == 1.5 else None)
    return DetectionMixup(1.5, lambda: second).transform(dict(first))


def test_canvas_and_boxes_by_hand(monkeypatch):
    first = image('a', 100, (2, 3), [[0, 0, 2, 2]], [4])
    second = image('b', 41, (3, 2), [[0, 1, 2, 3], [1, 1, 2, 2]], [5, 6])
    mixed = mix(monkeypatch, 0.25, first, second)
    # both: 25 + 30.75; the first alone: 25; the second alone: 30.75; neither: 0
    assert mixed['img'][:, :, 0].tolist() == [[56, 56, 25], [56, 56, 25], [31, 31, 0]]
    assert mixed['img'].dtype == np.uint8 and mixed['img_shape'] == (3, 3)
    assert mixed['gt_bboxes'].tensor.tolist() == [[0, 0, 2, 2], [0, 1, 2, 3], [1, 1, 2, 2]]
    assert mixed['gt_bboxes_labels'].tolist() == [4, 5, 6] and len(mixed['gt_ignore_flags']) == 3
    np.testing.assert_allclose(mixed['gt_bboxes_weights'], [0.25, 0.75, 0.75])


def test_alone(monkeypatch):
    """With lambda = 1, beside itself, or with mixing off an image stays what it is."""
    first, second = image('a', 100, (2, 3), [[0, 0, 2, 2]], [4]), image('b', 40, (5, 5), [[0, 0, 4, 4]], [5])
    for mixed in (mix(monkeypatch, 1.0, first, second), mix(monkeypatch, 0.3, first, {**second, 'img_path': 'a'})):
        assert (mixed['img'] == 100).all() and mixed['img'].shape == (2, 3, 3)
        assert mixed['gt_bboxes_labels'].tolist() == [4] and mixed['gt_bboxes_weights'].tolist() == [1]
    off = DetectionMixup(1.5, lambda: 1 / 0)
    off.mixing = False
    assert off.transform(dict(first))['gt_bboxes_weights'].tolist() == [1]


def test_lambda_is_drawn_from_beta():
    np.random.seed(0)
    first, second = image('a', 0, (1, 1), [], []), image('b', 0, (1, 1), [[0, 0, 1, 1]], [0])
    mixup = DetectionMixup(1.5, lambda: second)
    shares = [1 - mixup(dict(first))['gt_bboxes_weights'][0] for _ in range(4000)]
    # Beta(1.5, 1.5): mean 1/2, variance 1/16
    assert abs(np.mean(shares) - 0.5) < 0.02 and abs(np.var(shares) - 1 / 16) < 0.004


def test_weights_stay_with_their_boxes():
    np.random.seed(0)
    transforms = KeepWeights(
        [
            {'type': 'mmdet.Expand', 'mean': [0, 0, 0], 'ratio_range': (1, 2)},
            {'type': 'mmdet.MinIoURandomCrop', 'min_ious': (0.3,), 'min_crop_size': 0.3},
            {'type': 'mmdet.Resize', 'scale': (64, 64), 'keep_ratio': False},
            {'type': 'mmdet.RandomFlip', 'prob': 0.5},
        ]
    )
    corners = np.random.rand(6, 2) * 60
    boxes = np.concatenate([corners, corners + 5 + np.random.rand(6, 2) * 30], axis=1)
    weights = np.random.rand(6).astype(np.float32)
    kept = []
    for _ in range(40):
        start = {**image('a', 9, (100, 100), boxes, [3, 1, 4, 0, 5, 2]), 'gt_bboxes_weights': weights}
        result = transforms(start)
        weight_of = dict(zip([3, 1, 4, 0, 5, 2], weights))
        assert result['gt_bboxes_weights'].tolist() == [weight_of[label] for label in result['gt_bboxes_labels']]
        kept.append(len(result['gt_bboxes']))
        assert len(result['gt_bboxes_weights']) == kept[-1]
    assert min(kept) < 6 == max(kept)


def weighted(boxes, labels, weights):
    target = sample(96, boxes, labels)
    target.gt_instances.weights = torch.tensor(weights)
    return [target]


BOXES = [[10.0, 10, 50, 50], [40.0, 20, 90, 60]]


@pytest.mark.parametrize('detector', [ssdlite, yolov3])
def test_weights_of_one_change_nothing(detector):
    model, images = detector().eval(), torch.randn(1, 3, 96, 96)
    plain = model.loss(images, [sample(96, BOXES, [0, 1])])
    ones = model.loss(images, weighted(BOXES, [0, 1], [1.0, 1.0]))
    for name, values in plain.items():
        assert [v.item() for v in values] == [v.item() for v in ones[name]]
    half = model.loss(images, weighted(BOXES, [0, 1], [1.0, 0.5]))
    assert all(sum(half[name]) < sum(plain[name]) for name in plain if name != 'loss_conf')


def test_ssdlite_weighs_the_losses_of_matched_anchors():
    model, images = ssdlite().eval(), torch.randn(1, 3, 96, 96)
    full, none, third = (
        {name: sum(values) for name, values in model.loss(images, weighted(BOXES[:1], [0], [w])).items()}
        for w in (1.0, 0.0, 0.3)
    )
    assert none['loss_bbox'] == 0 and none['loss_cls'] > 0, 'the background counts fully'
    for name in full:
        torch.testing.assert_close(third[name], 0.3 * full[name] + 0.7 * none[name])


def test_yolov3_takes_the_weight_as_objectness():
    model, images = yolov3(num_classes=2).eval(), torch.randn(1, 3, 96, 96)
    full, third = (
        {name: sum(values) for name, values in model.loss(images, weighted(BOXES[:1], [0], [w])).items()}
        for w in (1.0, 0.3)
    )
    for name in ('loss_cls', 'loss_xy', 'loss_wh'):
        torch.testing.assert_close(third[name], 0.3 * full[name])
    # objectness of the matched anchors: cross-entropy with target 0.3 instead of 1, the rest as before
    levels = model(images, mode='tensor')[0]
    anchors = model.bbox_head.prior_generator.grid_priors([level.shape[-2:] for level in levels], device='cpu')
    box = torch.tensor(BOXES[:1])
    flags = model.bbox_head.responsible_flags([level.shape[-2:] for level in levels], box, 'cpu')
    targets, _ = model.bbox_head._get_targets_single(anchors, flags, weighted(BOXES[:1], [0], [0.3])[0].gt_instances)
    matched = targets[:, 4] > 0
    torch.testing.assert_close(targets[matched, 4], torch.full((int(matched.sum()),), 0.3))
    logits = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 7)[:, 4] for level in levels])[matched]
    change = sum(
        sign * binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction='sum')
        for sign, target in [(1, 0.3), (-1, 1.0)]
    )
    torch.testing.assert_close(third['loss_conf'] - full['loss_conf'], change, rtol=1e-3, atol=1e-4)


class Numbers(Dataset):
    def __init__(self):
        self.mixup = DetectionMixup(1.5, dict)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.mixup.mixing


def test_switch_reaches_running_workers():
    numbers = Numbers()
    loader = DataLoader(numbers, num_workers=1, persistent_workers=True)
    assert all(loader)
    numbers.mixup.mixing = False
    assert not any(loader)


@pytest.mark.parametrize('epochs, first_unmixed', [(200, 180), (20, 18), (12, 10), (5, 4)])
@pytest.mark.parametrize('resumed_at', [0, 3, -1])
def test_mixing_stops_for_the_last_tenth(epochs, first_unmixed, resumed_at):
    runner = SimpleNamespace(max_epochs=epochs, logger=SimpleNamespace(info=lambda text: None))
    hook = DetectionMixupHook()
    hook.mixups = [DetectionMixup(1.5, dict)]
    for runner.epoch in range(resumed_at % epochs, epochs):
        hook.before_train_epoch(runner)
        assert hook.mixups[0].mixing == (runner.epoch < first_unmixed)


def training_set(root, work_dir, mixup=True, pipeline=None, repeat=False):
    init_default_scope('mmdet')
    dataset = detector_config(root, work_dir).train_dataloader.dataset
    dataset.pipeline = pipeline or dataset.pipeline
    dataset = DATASETS.build({'type': 'mmengine.RepeatDataset', 'dataset': dataset, 'times': 2} if repeat else dataset)
    if mixup:
        add_detection_mixup(dataset, 1.5)
    return dataset


RESIZED = [
    {'type': 'LoadImageFromFile'},
    {'type': 'LoadAnnotations', 'with_bbox': True},
    {'type': 'Resize', 'scale': (96, 96)},
    {'type': 'PackDetInputs'},
]


@pytest.mark.parametrize('repeat', [False, True])
def test_batches_hold_weights(voc, tmp_path, repeat):
    dataset = training_set(voc, tmp_path / 'run', pipeline=RESIZED, repeat=repeat)
    random.seed(0)  # of twenty partners none is the image itself once in three hundred times
    mixed = [dataset[i % 4]['data_samples'].gt_instances for i in range(20)]
    assert {len(instances) for instances in mixed} == {2, 4}, 'alone beside itself, else of two images'
    for instances in mixed:
        assert instances.weights.dtype == torch.float32 and set(instances.labels.tolist()) == {0, 1}
        if len(instances) == 4:
            torch.testing.assert_close(instances.weights[:2] + instances.weights[2:], torch.ones(2))


def test_one_image_is_never_mixed_with_itself(tmp_path):
    box = [('cat', 11, 11, 31, 31, 0)]
    write_voc(tmp_path / 'voc', {'a': box, 'b': box}, {'trainval': ['a'], 'test': ['b']})
    dataset = training_set(tmp_path / 'voc', tmp_path / 'run')
    assert all(dataset[0]['data_samples'].gt_instances.weights.tolist() == [1] for _ in range(5))


def test_another_partner_for_one_that_cannot_be_decoded(voc, tmp_path):
    dataset = training_set(voc, tmp_path / 'run', pipeline=[{'type': 'mmnetaug.LoadImageOrSkip'}, *RESIZED[1:]])
    (voc / 'JPEGImages' / 'b.jpg').write_bytes(b'nothing')
    random.seed(0)
    assert {len(dataset[0]['data_samples'].gt_instances) for _ in range(20)} == {2, 4}


@pytest.mark.parametrize('pipeline', [RESIZED[:1] + RESIZED[2:], RESIZED[:3]])
def test_a_pipeline_that_cannot_be_mixed(voc, tmp_path, pipeline):
    with pytest.raises(InputError, match=r'LoadAnnotations comes before .* PackDetInputs last'):
        training_set(voc, tmp_path / 'run', pipeline=pipeline)


def mixup_config(root, work_dir, name='ssdlite_netaug_voc', **options):
    config = detector_config(root, work_dir, name, epochs=3, **options)
    config.merge_from_dict(detection_mixup_options(config, True))
    return config


@pytest.mark.parametrize('head', ['ssdlite', 'yolov3'])
def test_training(voc, tmp_path, head):
    result = train_detector(mixup_config(voc, tmp_path / 'run', f'{head}_netaug_voc'))
    assert result['mixup'] and result['head'].lower() == head and result['version'] == 1


def test_a_head_without_weights_of_objects(voc, tmp_path):
    """Never ignored: mmdet's YOLOV3Head has no place for them."""
    config = mixup_config(voc, tmp_path / 'run', 'yolov3_netaug_voc')
    config.model.bbox_head.update(type='mmdet.YOLOV3Head', out_channels=[16] * 3)
    del config.model.bbox_head['depthwise'], config.model.bbox_head['ignore_above']
    with pytest.raises(InputError, match='the losses of YOLOV3Head have no place: leave out --mixup'):
        train_detector(config)


def test_resumed_training_does_not_mix_again(voc, tmp_path, monkeypatch):
    mixing = []

    def note(hook, runner):
        switch(hook, runner)
        mixing.append((runner.epoch, hook.mixups[0].mixing))
        if len(mixing) == 3:
            raise KeyboardInterrupt

    switch = DetectionMixupHook.before_train_epoch
    monkeypatch.setattr(DetectionMixupHook, 'before_train_epoch', note)
    options = {'default_hooks__checkpoint__interval': 1, 'train_dataloader__num_workers': 1}
    with pytest.raises(KeyboardInterrupt):
        train_detector(mixup_config(voc, tmp_path / 'run', **options))
    again = mixup_config(voc, tmp_path / 'run', **options)
    again.resume = True
    train_detector(again)
    assert mixing == [(0, True), (1, True), (2, False), (2, False)]


@pytest.mark.parametrize('detector', [ssdlite, yolov3])
def test_lambda_of_one_is_no_mixup(voc, tmp_path, monkeypatch, detector):
    """From the files to the losses."""
    monkeypatch.setattr(np.random, 'beta', lambda a, b: 1.0)
    MessageHub.get_instance(str(tmp_path)).update_info('iter', 0)  # for the sizes of batches, before any run
    model, found = detector(num_classes=2).eval(), []
    for mixup in (False, True):
        dataset = training_set(voc, tmp_path / 'run', mixup)
        np.random.seed(3)
        random.seed(3)
        if not mixup:
            random.randrange(len(dataset))  # the partner's number
        item = dataset[0]
        data = model.data_preprocessor({'inputs': [item['inputs']], 'data_samples': [item['data_samples']]}, True)
        found.append((data['inputs'], model(**data, mode='loss')))
    assert torch.equal(found[0][0], found[1][0])
    for name, values in found[0][1].items():
        assert [value.item() for value in values] == [value.item() for value in found[1][1][name]]


@pytest.mark.parametrize('detector', [ssdlite, yolov3])
@pytest.mark.parametrize(
    'boxes', [[], [[50.0, 50, 50.2, 50.3]], [[95.9, 95.9, 96, 96]], [[0.0, 0, 96, 96]] * 30], ids=len
)
def test_losses_of_awkward_boxes_are_finite(detector, boxes):
    """No box at all, boxes smaller than a pixel, in the last corner, and many at one place."""
    model = detector(num_classes=1)
    target = sample(96, boxes, [0] * len(boxes))
    target.gt_instances.weights = torch.rand(len(boxes))
    losses = model.loss(torch.randn(2, 3, 96, 96), [target, sample(96, BOXES[:1], [0])])
    total = sum(sum(values) for values in losses.values())
    total.backward()
    assert torch.isfinite(total) and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_what_the_second_image_ignores_stays_ignored(monkeypatch):
    first = image('a', 9, (2, 3), [[0, 0, 2, 2]], [4])
    second = image('b', 9, (3, 2), [[0, 1, 2, 3], [1, 1, 2, 2]], [5, 6])
    second['gt_ignore_flags'] = np.array([False, True])
    assert mix(monkeypatch, 0.25, first, second)['gt_ignore_flags'].tolist() == [False, False, True]
    assert mix(monkeypatch, 0.25, second, first)['gt_ignore_flags'].tolist() == [False, True, False]


@pytest.mark.parametrize('name', ['ssdlite', 'yolov3'])
def test_each_object_has_a_weight_of_its_own(name):
    """Anchors are told apart by the classes of their objects."""
    head = build_detector(name).bbox_head
    objects = sample(96, [[10.0, 10, 50, 50], [40.0, 20, 90, 60]], [0, 1]).gt_instances
    objects.weights = torch.tensor([0.2, 0.7])
    sides = [(side, side) for side in ((6, 3, 2, 1) if name == 'ssdlite' else (3, 6, 12))]
    anchors = head.prior_generator.grid_priors(sides, device='cpu')
    if name == 'ssdlite':
        anchors = torch.cat(anchors)
        valid = torch.ones(len(anchors), dtype=torch.bool)
        labels, label_weights, _, bbox_weights, *_ = head._get_targets_single(
            anchors, valid, objects, {'img_shape': (96, 96)}
        )
        weights = torch.cat([label_weights[:, None], bbox_weights], dim=1)
        found = {label: weights[labels == label] for label in (0, 1)}
    else:
        flags = head.responsible_flags(sides, objects.bboxes, 'cpu')
        targets, background = head._get_targets_single(anchors, flags, objects)
        found = {label: targets[targets[:, 5 + label] == 1, 4] for label in (0, 1)}
        for label, values in found.items():
            torch.testing.assert_close(background[targets[:, 5 + label] == 1], 1 - values)
    for label, weight in ((0, 0.2), (1, 0.7)):
        assert len(found[label])
        torch.testing.assert_close(found[label], torch.full_like(found[label], weight))


def test_alpha_of_the_hook_is_that_of_the_draws(voc, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(np.random, 'beta', lambda *given: drawn.append(given) or 0.5)
    dataset = training_set(voc, tmp_path / 'run', mixup=False, pipeline=RESIZED)
    hook = DetectionMixupHook(alpha=0.4)
    loader = SimpleNamespace(dataset=dataset)
    hook.before_train(SimpleNamespace(model=ssdlite(), train_dataloader=loader))
    assert dataset[0] and drawn == [(0.4, 0.4)]
