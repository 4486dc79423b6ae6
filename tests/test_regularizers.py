"""Regularisers of pretraining: mixup, DropBlock, dropout, AutoAugment, distillation."""

import math

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmnetaug.datasets.autoaugment import IMAGENET_POLICY, autoaugment
from mmnetaug.pretrain import pretrain, pretrain_config
from test_pretrain import Killed, config_for

import mmnetaug
from mmnetaug import InputError
from mmnetaug.datasets import autoaugment as module
from mmnetaug.engine.hooks import estimate_norm_statistics
from mmnetaug.models import Classifier
from mmnetaug.models.regularizers import DropBlock, add_dropblock, distillation_loss, dropblocks, mixup

NETAUG = {'width_mults': (1.0, 1.8), 'expand_ratios': (1.0, 1.6)}
TEACHER = {'temperature': 4.0, 'weight': 0.5}


@pytest.fixture
def teacher(tmp_path):
    """A checkpoint of another architecture with three classes."""
    torch.manual_seed(5)
    network = mmnetaug.build_network('mobilenetv2_w0.1', 3)
    path = tmp_path / 'teacher.pth'
    torch.save({'state_dict': network.state_dict(), 'meta': {'arch': 'mobilenetv2_w0.1'}}, path)
    return path


def batch(size=4, classes=3, side=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, side, side, generator=generator), torch.arange(size) % classes


def test_mixed_images_and_labels(monkeypatch):
    monkeypatch.setattr(torch.distributions.Beta, 'sample', lambda self: torch.tensor(0.7))
    monkeypatch.setattr(torch, 'randperm', lambda count, device=None: torch.tensor([1, 0]))
    images = torch.stack([torch.full((3, 2, 2), 10.0), torch.full((3, 2, 2), 20.0)])
    mixed, targets = mixup(images, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), alpha=0.2)
    assert mixed[:, 0, 0, 0].tolist() == pytest.approx([13, 17])
    assert targets.tolist() == [pytest.approx([0.7, 0, 0.3]), pytest.approx([0.3, 0, 0.7])]


def test_share_of_mixup_is_beta_distributed():
    torch.manual_seed(0)
    images, targets = torch.zeros(2, 3, 1, 1), torch.eye(2)
    images[0] += 1
    shares = np.array([mixup(images, targets, alpha=0.2)[0].max().item() for _ in range(2000)])
    # The larger of lambda and 1 - lambda where the two change places, 1 where they stay: mean of half of each.
    lambdas = np.random.default_rng(0).beta(0.2, 0.2, 200_000)
    assert shares.mean() == pytest.approx((1 + np.maximum(lambdas, 1 - lambdas).mean()) / 2, abs=0.01)


def test_loss_of_mixup_is_the_mean_of_both_losses(monkeypatch):
    monkeypatch.setattr(torch.distributions.Beta, 'sample', lambda self: torch.tensor(0.25))
    monkeypatch.setattr(torch, 'randperm', lambda count, device=None: torch.arange(count).flip(0))
    torch.manual_seed(0)
    model = Classifier('mobilenetv2_w0.1', 3, mixup=0.2, label_smoothing=0.1)
    images, labels = batch()
    loss = model(images, labels, 'loss')['loss_base']
    mixed = 0.25 * images + 0.75 * images.flip(0)
    model.mixup = 0
    both = [model(mixed, each, 'loss')['loss_base'].item() for each in (labels, labels.flip(0))]
    assert loss.item() == pytest.approx(0.25 * both[0] + 0.75 * both[1], rel=1e-5)


def test_distillation_loss_by_hand():
    # Student certain by ln 3 to 1 after the temperature of 2, teacher by ln 9 to 1.
    student, teacher = torch.tensor([[2 * math.log(3), 0.0]]), torch.tensor([[2 * math.log(9), 0.0]])
    divergence = 0.9 * math.log(0.9 / 0.75) + 0.1 * math.log(0.1 / 0.25)
    assert distillation_loss(student, teacher, 2).item() == pytest.approx(4 * divergence, rel=1e-5)
    assert distillation_loss(teacher, teacher, 2).item() == pytest.approx(0, abs=1e-6)
    # Per image, not per batch.
    assert distillation_loss(student.repeat(5, 1), teacher.repeat(5, 1), 2).item() == pytest.approx(
        4 * divergence, rel=1e-5
    )


def test_gradient_of_distillation_depends_little_on_the_temperature():
    """Hinton et al., section 2.1: at high temperatures the gradient is (student - teacher) / N of centred logits."""
    student = torch.tensor([[0.3, -0.1, -0.2]], requires_grad=True)
    teacher = torch.tensor([[0.1, 0.2, -0.3]])
    distillation_loss(student, teacher, 1000).backward()
    assert student.grad.tolist() == [pytest.approx([0.2 / 3, -0.3 / 3, 0.1 / 3], rel=1e-2)]


@pytest.mark.parametrize('netaug', [None, NETAUG])
def test_a_teacher_adds_its_share_to_every_loss(netaug, teacher):
    images, labels = batch()
    losses = {}
    for distill in (None, {**TEACHER, 'weight': 1.0}, {**TEACHER, 'weight': 0.5}):
        torch.manual_seed(0)
        model = Classifier(
            'mobilenetv2_w0.1', 3, netaug=netaug, distill=distill and {'checkpoint': str(teacher), **distill}
        )
        if netaug:
            model.augmented = model.network.max_widths
        losses[distill and distill['weight']] = model(images, labels, 'loss')
    names = ['loss_base', *(['loss_augmented'] if netaug else [])]
    for name in names:
        plain, only, both = (losses[weight][name].item() for weight in (None, 1.0, 0.5))
        assert both == pytest.approx((plain + only) / 2, rel=1e-5) and only != pytest.approx(plain, rel=1e-2)


def test_a_teacher_is_neither_trained_nor_saved(teacher):
    model = Classifier('mobilenetv2_w0.1', 3, distill={'checkpoint': str(teacher), **TEACHER}).train()
    plain = Classifier('mobilenetv2_w0.1', 3)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert len(list(model.parameters())) == len(list(plain.parameters()))
    before = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
    images, labels = batch()
    model(images, labels, 'loss')['loss_base'].backward()
    assert not model.teacher.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.teacher.state_dict().items())


def test_dropped_blocks_are_squares_and_the_rest_keeps_the_mean():
    torch.manual_seed(0)
    layer = DropBlock(0.1, block_size=7)
    layer.iter_cnt = layer.warmup_iters  # at full rate
    x = torch.ones(200, 8, 28, 28)
    y = layer(x)
    dropped = (y == 0).float()
    # Blocks overlap, so that a little less than the rate is dropped: 1 - exp(-rate) and less at the borders.
    assert 0.08 < dropped.mean() < 0.1
    assert y.mean().item() == pytest.approx(1, abs=1e-3)
    assert len(y.unique()) == 2
    # Every dropped pixel lies in a dropped square of seven pixels.
    squares = -torch.nn.functional.max_pool2d(-dropped, 7, 1)
    covered = torch.nn.functional.max_pool2d(torch.nn.functional.pad(squares, [6] * 4), 7, 1)
    assert torch.equal(covered, dropped)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize('side', [1, 2, 4, 7])
def test_dropblock_on_maps_smaller_than_the_block(side):
    torch.manual_seed(0)
    layer = DropBlock(0.2, block_size=7)
    layer.iter_cnt = layer.warmup_iters
    y = layer(torch.ones(3000, 4, side, side))
    assert 0.15 < (y == 0).float().mean() < 0.22
    assert y.mean().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize('arch, places', [('resnet50', (6 * 4, 3 * 4)), ('mobilenetv2_tiny', (11, 11))])
def test_dropblock_lies_in_the_last_two_stages(arch, places):
    """ResNet50: six and three bottlenecks, each with three convolutions and a shortcut or its projection."""
    network = mmnetaug.build_network(arch, 3)
    state = network.state_dict().keys()
    add_dropblock(network, 0.1)
    assert [len(dropblocks(stage)) for stage in network.stages[:-2]] == [0] * (len(network.stages) - 2)
    assert tuple(len(dropblocks(stage)) for stage in network.stages[-2:]) == places
    assert {layer.drop_prob for layer in dropblocks(network.stages[-2])} == {0.025}
    assert {layer.drop_prob for layer in dropblocks(network.stages[-1])} == {0.1}
    assert network.state_dict().keys() == state


def test_rate_of_dropblock_rises_over_training_and_after_a_restart(image_tree, tmp_path):
    from mmengine.hooks import Hook

    from mmnetaug.registry import HOOKS

    rates = []

    @HOOKS.register_module(force=True)
    class WatchRate(Hook):
        priority = 'LOWEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            layer = dropblocks(runner.model)[-1]
            rates.append((runner.iter, layer.iter_cnt / layer.warmup_iters))

        def after_train_epoch(self, runner):
            if runner.epoch == 0 and not runner._resume:
                raise InterruptedError

    for resume in (False, True):
        config = config_for(image_tree, tmp_path / 'run', 'netaug_mbv2_nano_cifar100', dropblock=0.1, epochs=2)
        config.resume = resume
        config = pretrain_config(config)
        config.custom_hooks.append({'type': 'mmnetaug.WatchRate'})
        if resume:
            pretrain(config)
        else:
            with pytest.raises(InterruptedError):
                pretrain(config)
    steps = 2 * 6  # 48 images in batches of 8
    assert rates == [(step, pytest.approx(step / steps)) for step in range(steps)]


def test_a_resumed_run_draws_anew(image_tree, tmp_path, monkeypatch):
    shares, draw = [], torch.distributions.Beta.sample
    monkeypatch.setattr(torch.distributions.Beta, 'sample', lambda self: shares.append(draw(self)) or shares[-1])
    name, options = 'baseline_mbv2_nano_cifar100', {'mixup': 0.2, 'train_eval_images': 0, 'epochs': 2}
    pretrain(pretrain_config(config_for(image_tree, tmp_path / 'whole', name, **options)))
    whole = shares.copy()
    assert len(whole) == len(set(map(float, whole))) == 12
    shares.clear()
    config = config_for(image_tree, tmp_path / 'run', name, **options)
    config.custom_hooks = [{'type': 'mmnetaug.KillAfterFirstEpoch'}]
    with pytest.raises(Killed):
        pretrain(pretrain_config(config))
    pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', name, resume=True, **options)))
    assert shares == whole


def test_the_policy_of_autoaugment():
    assert len(IMAGENET_POLICY) == 25 and all(len(pair) == 2 for pair in IMAGENET_POLICY)
    transform = autoaugment()
    operations = [operation for pair in transform['policies'] for operation in pair]
    assert operations[1] == {'type': 'mmdet.Rotate', 'prob': 0.6, 'level': 0, 'min_mag': 30.0, 'max_mag': 30.0}
    # Table 9's eighth pair: posterize at strength 5 keeps 5.8, that is six bits, always equalized after.
    posterize, equalize = transform['policies'][7]
    assert math.ceil(posterize['min_mag']) == 6 and equalize == {'type': 'mmdet.Equalize', 'prob': 1.0}


def apply(transform, image):
    return Compose([transform])({'img': image.copy(), 'img_shape': image.shape[:2]})['img']


def test_autoaugment_changes_most_images_and_no_shape():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.random.seed(0)
    changed = [apply(autoaugment(), image) for _ in range(100)]
    assert all(each.dtype == np.uint8 and each.shape == image.shape for each in changed)
    assert np.mean([not np.array_equal(each, image) for each in changed]) > 0.6


@pytest.mark.parametrize(
    'name, strength, expected',
    [
        ('Invert', 0, lambda image: 255 - image),
        ('Solarize', 0, lambda image: image),
        ('Solarize', 9, lambda image: 255 - image),
        ('Solarize', 4.5, lambda image: np.where(image < 128, image, 255 - image)),
        ('Posterize', 0, lambda image: image),
        ('Posterize', 9, lambda image: image & 0b11110000),
        ('Posterize', 8, lambda image: image & 0b11110000),  # 4.4 bits
        ('Posterize', 6, lambda image: image & 0b11111000),  # 5.3
        ('Contrast', 4.5, lambda image: image),
        ('Color', 4.5, lambda image: image),
        ('Sharpness', 4.5, lambda image: image),
    ],
)
def test_strength_of_operations(name, strength, expected):
    image = np.random.default_rng(0).integers(1, 256, (8, 8, 3), np.uint8)
    policy = {'type': 'mmdet.AutoAugment', 'policies': [[module._operation(name, 1.0, strength)]]}
    assert np.array_equal(apply(policy, image), expected(image))


@pytest.mark.parametrize('strength, slope', [(5, 0.3 * 5 / 9), (9, 0.3)])
def test_strength_of_shear(strength, slope):
    """A vertical line leans by the slope, to one side or the other."""
    image = np.zeros((101, 101, 3), np.uint8)
    image[:, 50] = 255
    sheared = apply({'type': 'mmdet.AutoAugment', 'policies': [[module._operation('ShearX', 1.0, strength)]]}, image)
    top, bottom = (sheared[row, :, 0].argmax() for row in (30, 70))
    assert abs(int(top) - int(bottom)) == pytest.approx(40 * slope, abs=1.5)


def test_strength_of_rotation():
    image = np.zeros((101, 101, 3), np.uint8)
    image[49:52, 50:] = 255
    turned = apply({'type': 'mmdet.AutoAugment', 'policies': [[module._operation('Rotate', 1.0, 6)]]}, image)
    y, x = (np.argwhere(turned[..., 0] > 200).mean(0) - 50).tolist()
    assert abs(np.degrees(np.arctan2(y, x))) == pytest.approx(20, abs=1.5)


SWITCHES = {
    'mixup': {'mixup': 0.2},
    'autoaugment': {'autoaugment': True},
    'dropblock': {'dropblock': 0.1},
    'dropout': {'dropout': 0.2},
    'all': {'mixup': 0.2, 'autoaugment': True, 'dropblock': 0.1, 'dropout': 0.2},
}


@pytest.mark.parametrize('arch', ['mobilenetv2_tiny', 'resnet50_w0.25'])
@pytest.mark.parametrize('method', ['baseline', 'netaug'])
@pytest.mark.parametrize('switches', SWITCHES.values(), ids=SWITCHES)
def test_every_regulariser_is_off_in_evaluation(arch, method, switches, image_tree):
    """In training two passes differ; in evaluation the switches change nothing, nor in the estimate of statistics.

    The images of that estimate are those of training, AutoAugment's among them.
    """
    config = pretrain_config(
        config_for(image_tree, '', f'{method}_mbv2_tiny_cifar100', **{'model.arch': arch}, **switches)
    )
    model_config = config.model.to_dict()
    model_config.pop('type')
    torch.manual_seed(0)
    model = Classifier(**model_config)
    plain = Classifier(arch, 2, netaug=model_config.get('netaug'))
    plain.load_state_dict(model.state_dict())
    for layer in dropblocks(model):
        layer.iter_cnt = layer.warmup_iters
    images, labels = batch(classes=2)
    if not config.autoaugment or len(switches) > 1:
        losses = [model.train()(images, labels, 'loss')['loss_base'].item() for _ in range(4)]
        assert len(set(losses)) > 1
        plain.load_state_dict(model.state_dict())
    batches = [{'inputs': list((images * 50 + 120).clamp(0, 255).byte()), 'data_samples': labels}]
    data = {'data_preprocessor': config.model.data_preprocessor.to_dict()}
    for each in (model, plain):
        each.data_preprocessor = Classifier(arch, 2, **data).data_preprocessor
        estimate_norm_statistics(each, batches, 100)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), plain.eval()(images))
    assert 'AutoAugment' not in str(config.val_dataloader)


def test_bad_switches_say_what_to_type(image_tree, tmp_path, teacher):
    for switch, value, expected in [
        ('mixup', -1, 'of at least 0'),
        ('dropblock', 1, 'from 0 to below 1'),
        ('dropout', 'much', 'from 0 to below 1'),
        ('dropout', True, 'from 0 to below 1'),
        ('autoaugment', 'no', 'True or False'),
        ('distill', 'foo.pth', 'distill.checkpoint='),
        ('train_eval_images', -5, 'a whole number'),
        ('train_eval_images', 'abc', 'a whole number'),
    ]:
        with pytest.raises(InputError, match=f'{switch} is {value!r}.*{expected}'):
            pretrain_config(config_for(image_tree, tmp_path, **{switch: value}))
    for options, expected in [
        ({'distill.checkpoint': str(tmp_path / 'nowhere.pth')}, 'no checkpoint at'),
        ({'distill.checkpoint': str(teacher)}, r'3 classes|\(3,'),
        ({'distill.checkpoint': str(teacher), 'distill.temperature': 0}, 'temperature'),
        ({'distill.checkpoint': str(teacher), 'distill.temperature': 'hot'}, 'temperature'),
        ({'distill.checkpoint': str(teacher), 'distill.weight': 2}, 'weight'),
    ]:
        with pytest.raises(InputError, match=expected):
            pretrain_config(config_for(image_tree, tmp_path, **options))


def test_a_teacher_with_other_classes(image_tree, tmp_path):
    path = tmp_path / 'teacher.pth'
    network = mmnetaug.build_network('mobilenetv2_w0.1', 2)
    meta = {'arch': 'mobilenetv2_w0.1', 'classes': ['cat', 'dog']}
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, path)
    with pytest.raises(InputError, match=r'teacher .* knows 2 classes .*cat.*pretrain a teacher on this data'):
        pretrain_config(config_for(image_tree, tmp_path, **{'distill.checkpoint': str(path)}))
    torch.save({'state_dict': network.state_dict()}, path)
    with pytest.raises(InputError, match=r'does not say of which network.*distill\.arch='):
        pretrain_config(config_for(image_tree, tmp_path, **{'distill.checkpoint': str(path)}))


def test_a_teacher_from_a_run_of_ours(image_tree, tmp_path):
    pretrain(pretrain_config(config_for(image_tree, tmp_path / 'teacher', 'baseline_mbv2_nano_cifar100', epochs=1)))
    options = {'distill.checkpoint': str(tmp_path / 'teacher/export.pth'), 'epochs': 1}
    result = pretrain(pretrain_config(config_for(image_tree, tmp_path / 'run', **options)))
    pretrain_config(config_for(image_tree, tmp_path, distill=None))
    assert result['recipe']['distill']['checkpoint'] == options['distill.checkpoint']
    assert result['history'][-1].keys() == {'epoch', 'top1', 'train_eval_top1'}
