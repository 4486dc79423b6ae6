"""Regularisers of pretraining: mixup, DropBlock, dropout, AutoAugment, distillation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Killed, pretrain_config
from mmcv.transforms import Compose
from mmengine.hooks import Hook
from mmengine.model import ImgDataPreprocessor

import mmnetaug
from mmnetaug import InputError
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.datasets.transforms import autoaugment as policy
from mmnetaug.datasets.transforms.autoaugment import IMAGENET_POLICY, _operation
from mmnetaug.engine.hooks import DistillationHook, MixupHook, estimate_norm_statistics
from mmnetaug.engine.runner import training_runner
from mmnetaug.models import Classifier
from mmnetaug.models.regularizers import DropBlock, add_dropblock, distillation_loss, dropblocks, mixup
from mmnetaug.normalisation import IMAGENET, UNIT_RANGE
from mmnetaug.registry import DATASETS, HOOKS, MODELS

NETAUG = {'width_mults': (1.0, 1.8), 'expand_ratios': (1.0, 1.6)}


def run_of(model, classes='abc', dataset=None):
    """What a hook sees of a runner when training starts."""
    dataset = dataset or SimpleNamespace(metainfo={'classes': list(classes)})
    return SimpleNamespace(model=model, max_iters=10, train_dataloader=SimpleNamespace(dataset=dataset))


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
    model = Classifier('mobilenetv2_w0.1', 3, label_smoothing=0.1)
    MixupHook(0.2).before_train(run_of(model))
    images, labels = batch()
    loss = model(images, labels, 'loss')['loss_base']
    mixed = 0.25 * images + 0.75 * images.flip(0)
    model.augments.clear()
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
    for weight in (None, 1.0, 0.5):
        torch.manual_seed(0)
        model = Classifier('mobilenetv2_w0.1', 3, netaug=netaug)
        if weight:
            DistillationHook(str(teacher), temperature=4.0, weight=weight).before_train(run_of(model))
        if netaug:
            model.augmented = model.network.max_widths
        losses[weight] = model(images, labels, 'loss')
    names = ['loss_base', *(['loss_augmented'] if netaug else [])]
    for name in names:
        plain, only, both = (losses[weight][name].item() for weight in (None, 1.0, 0.5))
        assert both == pytest.approx((plain + only) / 2, rel=1e-5) and only != pytest.approx(plain, rel=1e-2)


def test_a_teacher_is_neither_trained_nor_saved(teacher):
    model = Classifier('mobilenetv2_w0.1', 3).train()
    hook = DistillationHook(str(teacher))
    hook.before_train(run_of(model))
    plain = Classifier('mobilenetv2_w0.1', 3)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert len(list(model.parameters())) == len(list(plain.parameters()))
    before = {name: tensor.clone() for name, tensor in hook.teacher.state_dict().items()}
    images, labels = batch()
    model.train()(images, labels, 'loss')['loss_base'].backward()
    assert not hook.teacher.training
    assert not any(parameter.requires_grad for parameter in hook.teacher.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in hook.teacher.state_dict().items())


def test_a_teacher_sees_what_mixup_made(image_tree, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributions.Beta, 'sample', lambda self: torch.tensor(0.25))
    monkeypatch.setattr(torch, 'randperm', lambda count, device=None: torch.arange(count).flip(0))
    network = mmnetaug.build_network('mobilenetv2_w0.1', 2)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'teacher.pth')
    distill = {'type': 'mmnetaug.DistillationHook', 'checkpoint': str(tmp_path / 'teacher.pth')}
    hooks = [{**distill, 'arch': 'mobilenetv2_w0.1'}, {'type': 'mmnetaug.MixupHook', 'alpha': 0.2}]
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', custom_hooks=hooks)
    runner = training_runner(config)
    runner.call_hook('before_train')
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, DistillationHook))
    seen = []
    hook.teacher.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images, labels = batch(classes=2)
    runner.model(images, labels, 'loss')
    torch.testing.assert_close(seen, [0.25 * images + 0.75 * images.flip(0)])


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

    hooks = [{'type': 'mmnetaug.DropBlockHook', 'rate': 0.1}, {'type': 'mmnetaug.WatchRate'}]
    for resume in (False, True):
        config = pretrain_config(
            image_tree, tmp_path / 'run', 'netaug_mbv2_nano_cifar100', custom_hooks=hooks, resume=resume
        )
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

    def config_of(run, **options):
        config = pretrain_config(image_tree, tmp_path / run, 'baseline_mbv2_nano_cifar100', **options)
        config.custom_hooks = [{'type': 'mmnetaug.MixupHook', 'alpha': 0.2}]
        del config.default_hooks.train_accuracy
        return config

    pretrain(config_of('whole'))
    whole = shares.copy()
    assert len(whole) == len(set(map(float, whole))) == 12
    shares.clear()
    config = config_of('run')
    config.default_hooks.kill = {'type': 'mmnetaug.KillAfterFirstEpoch'}
    with pytest.raises(Killed):
        pretrain(config)
    pretrain(config_of('run', resume=True))
    assert shares == whole


def test_the_policy_of_autoaugment():
    assert len(IMAGENET_POLICY) == 25 and all(len(pair) == 2 for pair in IMAGENET_POLICY)
    transform = policy()
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
    changed = [apply(policy(), image) for _ in range(100)]
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
    transform = {'type': 'mmdet.AutoAugment', 'policies': [[_operation(name, 1.0, strength)]]}
    assert np.array_equal(apply(transform, image), expected(image))


@pytest.mark.parametrize('strength, slope', [(5, 0.3 * 5 / 9), (9, 0.3)])
def test_strength_of_shear(strength, slope):
    """A vertical line leans by the slope, to one side or the other."""
    image = np.zeros((101, 101, 3), np.uint8)
    image[:, 50] = 255
    sheared = apply({'type': 'mmdet.AutoAugment', 'policies': [[_operation('ShearX', 1.0, strength)]]}, image)
    top, bottom = (sheared[row, :, 0].argmax() for row in (30, 70))
    assert abs(int(top) - int(bottom)) == pytest.approx(40 * slope, abs=1.5)


def test_strength_of_rotation():
    image = np.zeros((101, 101, 3), np.uint8)
    image[49:52, 50:] = 255
    turned = apply({'type': 'mmdet.AutoAugment', 'policies': [[_operation('Rotate', 1.0, 6)]]}, image)
    y, x = (np.argwhere(turned[..., 0] > 200).mean(0) - 50).tolist()
    assert abs(np.degrees(np.arctan2(y, x))) == pytest.approx(20, abs=1.5)


def test_autoaugment_takes_the_place_of_colour_jitter(image_tree):
    config = pretrain_config(image_tree, '', 'baseline_mbv2')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    before = [type(transform).__name__ for transform in dataset.pipeline.transforms]
    HOOKS.build({'type': 'mmnetaug.AutoAugmentHook'}).before_train(run_of(None, dataset=dataset))
    after = [type(transform).__name__ for transform in dataset.pipeline.transforms]
    assert before[-3:] == ['ColorJitter', 'RandomFlip', 'PackClassification']
    assert after == [*before[:-3], 'RandomFlip', 'AutoAugment', 'PackClassification']
    assert dataset[0]['inputs'].shape == (3, 160, 160)


REGULARIZERS = {
    'mixup': [{'type': 'mmnetaug.MixupHook', 'alpha': 0.2}],
    'autoaugment': [{'type': 'mmnetaug.AutoAugmentHook'}],
    'dropblock': [{'type': 'mmnetaug.DropBlockHook', 'rate': 0.1}],
    'dropout': [{'type': 'mmnetaug.DropoutHook', 'rate': 0.2}],
}
REGULARIZERS['all'] = [hook for (hook,) in REGULARIZERS.values()]


@pytest.mark.parametrize('arch', ['mobilenetv2_tiny', 'resnet50_w0.25'])
@pytest.mark.parametrize('method', ['baseline', 'netaug'])
@pytest.mark.parametrize('name', REGULARIZERS)
def test_every_regulariser_is_off_in_evaluation(arch, method, name, image_tree):
    """In training two passes differ; in evaluation the hooks change nothing, nor in the estimate of statistics.

    The images of that estimate are those of training, AutoAugment's among them.
    """
    config = pretrain_config(image_tree, '', f'{method}_mbv2_tiny_cifar100', **{'model.arch': arch})
    trained, validated = (DATASETS.build(loader.dataset) for loader in (config.train_dataloader, config.val_dataloader))
    torch.manual_seed(0)
    model, plain = MODELS.build(config.model), MODELS.build(config.model)
    plain.load_state_dict(model.state_dict())
    for hook in REGULARIZERS[name]:
        HOOKS.build(hook).before_train(run_of(model, dataset=trained))
    for layer in dropblocks(model):
        layer.iter_cnt = layer.warmup_iters
    images, labels = batch(classes=2)
    if name != 'autoaugment':
        losses = [model.train()(images, labels, 'loss')['loss_base'].item() for _ in range(4)]
        assert len(set(losses)) > 1
        plain.load_state_dict(model.state_dict())
    batches = [{'inputs': list((images * 50 + 120).clamp(0, 255).byte()), 'data_samples': labels}]
    for each in (model, plain):
        estimate_norm_statistics(each, batches, 100)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), plain.eval()(images))
    assert ('AutoAugment' in str(trained.pipeline)) == (name in ('autoaugment', 'all'))
    assert 'AutoAugment' not in str(validated.pipeline)


@pytest.mark.parametrize(
    'hook, values, message',
    [
        ('Mixup', {'alpha': -1}, 'mixup is -1: expected a number of at least 0'),
        ('DropBlock', {'rate': 1}, 'dropblock is 1: expected a number from 0 to below 1'),
        ('Dropout', {'rate': 'much'}, "dropout is 'much': expected a number from 0 to below 1"),
        ('Dropout', {'rate': True}, 'dropout is True: expected a number from 0 to below 1'),
        ('TrainAccuracy', {'images': -5}, 'images of TrainAccuracyHook is -5: expected a whole number'),
        ('TrainAccuracy', {'images': 'abc'}, "images .* is 'abc': expected a whole number"),
        ('Distillation', {'checkpoint': 'teacher.pth', 'temperature': 0}, 'temperature 0'),
        ('Distillation', {'checkpoint': 'teacher.pth', 'temperature': 'hot'}, "temperature 'hot'"),
        ('Distillation', {'checkpoint': 'teacher.pth', 'weight': 2}, 'weight 2'),
    ],
)
def test_bad_values_say_what_is_expected(hook, values, message):
    with pytest.raises(InputError, match=message):
        HOOKS.build({'type': f'mmnetaug.{hook}Hook', **values})


@pytest.mark.parametrize(
    'hook, values, message',
    [
        ('Dropout', {'rate': 2}, 'dropout is 2: expected'),
        ('Dropout', {'share': 0.1}, "argument 'share'.*Correct it in the config"),
        ('Distillation', {'checkpoint': 'nowhere.pth'}, r'no checkpoint at nowhere\.pth'),
        ('Distillation', {'checkpoint': 'teacher.pth'}, r'\(3, \d+\) in the checkpoint'),
    ],
)
def test_no_step_is_trained_with_a_bad_value(hook, values, message, image_tree, tmp_path, teacher, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hooks = [{'type': f'mmnetaug.{hook}Hook', **values}]
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', custom_hooks=hooks)
    monkeypatch.setattr(Classifier, 'train_step', lambda *_: pytest.fail('it trains'))
    with pytest.raises(InputError, match=message):
        pretrain(config)


def test_a_teacher_with_other_classes(tmp_path):
    path = tmp_path / 'teacher.pth'
    network = mmnetaug.build_network('mobilenetv2_w0.1', 2)
    meta = {'arch': 'mobilenetv2_w0.1', 'classes': ['cat', 'dog']}
    run = run_of(Classifier('mobilenetv2_w0.1', 2), classes=['dark', 'light'])
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, path)
    with pytest.raises(InputError, match=r'teacher .* knows 2 classes .*cat.*pretrain a teacher on this data'):
        DistillationHook(str(path)).before_train(run)
    torch.save({'state_dict': network.state_dict()}, path)
    DistillationHook(str(path)).before_train(run)  # recognised by its tensors
    torch.save({'state_dict': {'a': torch.zeros(2)}}, path)
    with pytest.raises(InputError, match=r'does not tell of which network.*arch=\.\.\. of mmnetaug\.DistillationHook'):
        DistillationHook(str(path)).before_train(run)


def test_a_teacher_from_a_run_of_ours(image_tree, tmp_path):
    pretrain(pretrain_config(image_tree, tmp_path / 'teacher', 'baseline_mbv2_nano_cifar100', epochs=1))
    hook = {'type': 'mmnetaug.DistillationHook', 'checkpoint': str(tmp_path / 'teacher/export.pth')}
    result = pretrain(pretrain_config(image_tree, tmp_path / 'run', epochs=1, custom_hooks=[hook]))
    assert result['recipe']['custom_hooks'] == [hook]
    assert result['history'][-1].keys() == {'epoch', 'top1', 'train_eval_top1'}


OWN = {'mean': [10.0, 20.0, 30.0], 'std': [1.0, 2.0, 4.0], 'bgr_to_rgb': False}


@pytest.mark.parametrize('theirs', [IMAGENET, UNIT_RANGE, OWN])
@pytest.mark.parametrize('ours', [IMAGENET, OWN, {'mean': None, 'std': None, 'bgr_to_rgb': True}])
def test_a_teacher_sees_images_as_it_was_trained_with_them(ours, theirs, tmp_path):
    """The truth is MMEngine's preprocessor with the teacher's values, of the same pixels."""
    pixels = list(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
    given, truth = (ImgDataPreprocessor(**each)({'inputs': pixels})['inputs'] for each in (ours, theirs))
    network = mmnetaug.build_network('mobilenetv2_w0.1', 3)
    meta = {'arch': 'mobilenetv2_w0.1', 'recipe': {'model': {'data_preprocessor': theirs}}}
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, tmp_path / 'teacher.pth')
    hook = DistillationHook(str(tmp_path / 'teacher.pth'))
    model = Classifier('mobilenetv2_w0.1', 3, data_preprocessor={'type': 'ImgDataPreprocessor', **ours})
    hook.before_train(run_of(model))
    seen = []
    hook.teacher.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    hook._ask(given, torch.arange(4) % 3)
    torch.testing.assert_close(seen[0], truth, rtol=1e-5, atol=1e-3)
