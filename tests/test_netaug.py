"""NetAug: what grows, what is drawn, what the tiny network keeps."""

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mmnetaug
from mmnetaug import InputError, NetAug
from mmnetaug.engine.hooks import estimate_norm_statistics
from mmnetaug.models import Classifier
from mmnetaug.models.networks.netaug import conv_widths

SUPERNETS = [  # published: million parameters at the largest widths, 1000 classes
    ('mobilenetv2_tiny', (1.0, 1.8, 2.6), '5.827'),
    ('mobilenetv2_w0.35', (1.0, 1.8, 2.6), '8.624'),
    ('proxylessnas_w0.35', (1.0, 1.8, 2.6), '9.727'),
    ('mobilenetv3_w0.35', (1.0, 2.0, 3.0), '25.179'),
    ('mcunet', (1.0, 1.6, 2.2), '7.267'),
]
# A small supernet of every kind of block; ResNet50 thin and with mild multipliers, or it would take half a minute.
SMALL = {
    'mobilenetv2_tiny': {},
    'mobilenetv3_w0.35': {'width_mults': (1.0, 2.0), 'expand_ratios': (1.0, 1.6)},
    'mcunet': {},
    'resnet50_w0.25': {'width_mults': (1.0, 1.25), 'expand_ratios': (1.0, 1.5)},
}


def build(arch, num_classes=10):
    """A supernet whose normalisation is not the identity, so that a wrong order of channels shows."""
    torch.manual_seed(0)
    aug = NetAug(arch, num_classes, **SMALL[arch])
    for module in aug.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return aug.eval()


@pytest.mark.parametrize('arch, width_mults, params', SUPERNETS)
def test_supernet_has_the_published_number_of_parameters(arch, width_mults, params):
    aug = NetAug(arch, width_mults=width_mults, expand_ratios=(1.0, 1.6, 2.2, 2.8))
    assert f'{mmnetaug.count_params(aug) / 1e6:.3f}' == params


@pytest.mark.parametrize('arch', SMALL)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_export_equals_the_base_bit_for_bit(arch, layout):
    aug = build(arch).to(memory_format=layout)
    image = torch.randn(2, 3, 96, 96).to(memory_format=layout)
    tiny = aug.export().to(memory_format=layout)
    with torch.no_grad():
        assert torch.equal(tiny(image), aug(image))
    plain = mmnetaug.build_network(arch, 10)
    assert {k: v.shape for k, v in tiny.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    assert mmnetaug.count_macs(tiny, (3, 96, 96)) == mmnetaug.count_macs(aug, (3, 96, 96))


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_export_has_the_type_of_the_supernet(dtype):
    aug, image = build('mobilenetv2_tiny').to(dtype), torch.randn(2, 3, 96, 96, dtype=dtype)
    with torch.no_grad():
        assert torch.equal(aug.export()(image), aug(image))


def test_statistics_by_pytorch():
    """Of a network that was exported before, and after."""
    aug, batches = build('mobilenetv2_tiny'), torch.randn(3, 4, 3, 64, 64)
    tiny = aug.export()
    torch.optim.swa_utils.update_bn(batches, tiny)
    torch.optim.swa_utils.update_bn(batches, aug)
    exported = aug.export().state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in tiny.state_dict().items())


@pytest.mark.parametrize('arch', SMALL)
def test_sorting_changes_no_output_of_the_full_network(arch):
    aug = build(arch)
    aug.set_widths(aug.max_widths)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = aug(image)
        weights = {name: value.clone() for name, value in aug.state_dict().items()}
        aug.sort_channels()
        after = aug(image)
    assert (after - before).norm() / before.norm() < 1e-5
    assert before.std() > 1e-3  # the comparison is not of constants
    moved = [name for name, value in aug.state_dict().items() if not torch.equal(value, weights[name])]
    assert any('.expand.conv' in name for name in moved)
    assert any('.se.' in name for name in moved) == ('mobilenetv3' in arch)


@pytest.mark.parametrize('arch', ['mobilenetv2_tiny', 'mobilenetv3_w0.35', 'resnet50_w0.25'])
def test_momentum_moves_with_its_weight(arch):
    """Sorting between two steps, or not at all: the full-size network computes the same after the second."""
    outputs = []
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for sort in (False, True):
        aug = build(arch).double()
        aug.set_widths(aug.max_widths)
        optimizer = torch.optim.SGD(aug.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        for step in range(2):
            optimizer.zero_grad()
            F.cross_entropy(aug(images.double()), torch.tensor([0, 1])).backward()
            optimizer.step()
            if sort and step == 0:
                before = aug.stages[1][0].project.conv.weight.clone()
                aug.sort_channels(optimizer)
                assert not torch.equal(aug.stages[1][0].project.conv.weight, before), 'something has moved'
        with torch.no_grad():
            outputs.append(aug(images.double()))
    torch.testing.assert_close(*outputs, rtol=1e-8, atol=1e-8)


def test_hidden_channels_of_squeeze_and_excite():
    """By hand, of MobileNetV3 w0.35: middle 40 with 16 hidden, 168 with 40, 336 with 88."""
    aug = NetAug('mobilenetv3_w0.35', width_mults=(1.0, 2.0, 3.0), expand_ratios=(1.0, 1.6, 2.2, 2.8))
    pairs = {
        (base.mid, base.se, top.mid, top.se)
        for rows, tops in zip(aug.base.stages, aug.arch.stages)
        for base, top in zip(rows, tops)
        if base.se
    }
    assert pairs
    for mid, hidden, largest, most in pairs:
        assert most == max(round(largest / (mid / hidden)), 16)
    seen = set()
    for seed in range(60):
        widths = aug.sample(torch.Generator().manual_seed(seed))
        for stage, tops in enumerate(aug.arch.stages):
            for number, top in enumerate(tops):
                if top.se:
                    name = f'stages.{stage}.{number}'
                    m, h = widths[f'{name}.expand.conv'], widths[f'{name}.se.reduce']
                    # halves are rounded up, unlike Python's round
                    exact = Fraction(m * top.se, top.mid)
                    assert h == max(int(exact + Fraction(1, 2)), 16) and widths[f'{name}.se.expand'] == m
                    seen.add((m, h))
    assert len(seen) > 50
    aug.set_base()
    assert all(
        aug.get_submodule(f'stages.{stage}.{number}').se.reduce.width == row.se
        for stage, rows in enumerate(aug.base.stages)
        for number, row in enumerate(rows)
        if row.se
    )


def test_hidden_channels_are_sorted_by_the_weights_that_read_them():
    aug = build('mobilenetv3_w0.35')
    aug.sort_channels()
    blocks = [block for block in aug.modules() if hasattr(block, 'se')]
    assert blocks
    for block in blocks:
        importance = block.se.expand.weight.abs().sum((0, 2, 3))
        assert (importance.diff() <= 0).all()


def test_groups_that_are_neither_one_nor_depthwise_are_refused(monkeypatch):
    def grouped(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.stem[0].conv = torch.nn.Conv2d(4, 16, 3, groups=2)

    init = mmnetaug.models.Network.__init__
    monkeypatch.setattr(mmnetaug.models.Network, '__init__', grouped)
    with pytest.raises(InputError, match='a convolution of 2 groups on 4 channels'):
        NetAug('mobilenetv2_tiny', 10)


def test_sorting_puts_the_largest_first():
    aug = build('mobilenetv2_tiny')
    aug.sort_channels()
    norms = aug.stages[1][0].project.conv.weight.abs().sum((0, 2, 3))
    assert torch.equal(norms, norms.sort(descending=True).values)


def test_every_width_is_reached_and_drawn_uniformly():
    aug = NetAug('mobilenetv2_tiny', 10, (1.0, 1.8, 2.6), (1.0, 1.6, 2.2, 2.8))
    generator = torch.Generator().manual_seed(0)
    draws = 1200
    stems, outs, expansions = Counter(), Counter(), Counter()
    for _ in range(draws):
        widths = aug.sample(generator)
        stems[widths['stem.0.conv']] += 1
        outs[widths['stages.4.0.project.conv']] += 1
        # stages.3.0 reads what stages.2 gives: 24 channels in the base network, expanded 6 times to 144
        mid = widths['stages.3.0.expand.conv']
        width_in = widths['stages.2.0.project.conv']
        expansions[min((1.0, 1.6, 2.2, 2.8), key=lambda s: abs(6 * s * width_in - mid))] += 1
        assert mid in {round(6 * s * width_in) for s in (1.0, 1.6, 2.2, 2.8)}
    assert set(stems) == {16, 29, 42}  # round(16 * 1.8), round(16 * 2.6)
    assert set(outs) == {56, 101, 146}
    assert set(expansions) == {1.0, 1.6, 2.2, 2.8}
    for counts in (stems, outs, expansions):
        expected = draws / len(counts)
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert chi_square < 16.3  # 0.1% point for 3 degrees of freedom


@pytest.mark.parametrize(('most', 'batches'), [(4, 1), (11, 2), (12, 3), (13, 3), (15, 3), (99, 5)])
def test_statistics_are_of_at_most_so_many_images(most, batches):
    model, given = Classifier('mobilenetv2_w0.1', 10), []
    load = ({'inputs': torch.randn(4, 3, 32, 32), 'data_samples': torch.zeros(4).long()} for _ in range(5))
    estimate_norm_statistics(model, (given.append(batch) or batch for batch in load), most)
    assert len(given) == batches


def test_identity_shortcuts_keep_their_width():
    aug = NetAug('mobilenetv2_tiny', 10)
    widths = aug.sample(torch.Generator().manual_seed(1))
    assert widths['stages.2.0.project.conv'] == widths['stages.2.3.project.conv']


def test_second_half_draws_expansions_alone():
    aug = NetAug('mobilenetv3_w0.35', 10)
    base = conv_widths(aug.base)
    widths = aug.sample(torch.Generator().manual_seed(0), width=False)
    changed = {name for name in widths if widths[name] != base[name]}
    assert changed and all(name.endswith(('expand.conv', 'se.reduce', 'se.expand')) for name in changed)


def test_widths_are_plain_data_and_can_be_set_again():
    aug = build('mobilenetv3_w0.35')
    image = torch.randn(1, 3, 64, 64)
    widths = aug.sample(torch.Generator().manual_seed(3))
    with torch.no_grad():
        sampled = aug(image)
        aug.set_base()
        assert not torch.equal(aug(image), sampled)
        aug.set_widths(json.loads(json.dumps(widths)))
        assert torch.equal(aug(image), sampled)


def test_the_same_seed_draws_the_same():
    aug = NetAug('mcunet', 10)
    assert aug.sample(torch.Generator().manual_seed(5)) == aug.sample(torch.Generator().manual_seed(5))
    assert aug.sample(torch.Generator().manual_seed(5)) != aug.sample(torch.Generator().manual_seed(6))


@pytest.mark.parametrize('arch', ['mobilenetv2_tiny', 'mobilenetv3_w0.35'])
def test_base_gradients_stay_in_the_leading_block(arch):
    aug = build(arch).train()
    F.cross_entropy(aug(torch.randn(4, 3, 64, 64)), torch.arange(4)).backward()
    tiny = dict(aug.export().named_parameters())
    for name, parameter in aug.named_parameters():
        outside = parameter.grad.clone()
        outside[tuple(map(slice, tiny[name].shape))] = 0
        assert not outside.any(), name
        assert parameter.grad.any(), name


def test_a_step_is_the_sum_of_two_separate_passes():
    netaug = {'width_mults': (1.0, 1.8)}
    classifier = Classifier('mobilenetv2_tiny', 10, netaug, alpha=0.5, base_weight=2.0).double()
    aug = classifier.network
    classifier.augmented = aug.sample(torch.Generator().manual_seed(0))
    aug.set_base()
    images, labels = torch.randn(4, 3, 64, 64, dtype=torch.double), torch.arange(4)

    losses = classifier(images, labels, mode='loss')
    classifier.parse_losses(losses)[0].backward()
    together = {name: parameter.grad.clone() for name, parameter in aug.named_parameters()}

    aug.zero_grad()
    for widths, weight in [(None, 2.0), (classifier.augmented, 0.5)]:
        aug.set_widths(widths) if widths else aug.set_base()
        (weight * F.cross_entropy(aug(images), labels, label_smoothing=0.1)).backward()
    for name, parameter in aug.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, rtol=1e-7, atol=1e-9)


def test_multipliers_of_any_kind():
    generated = NetAug('mobilenetv2_tiny', 10, (each for each in (1, 2)), np.array([1.0, 1.5]))
    listed = NetAug('mobilenetv2_tiny', 10, [1.0, 2.0], [1.0, 1.5])
    assert generated.max_widths == listed.max_widths and generated.width_mults == (1.0, 2.0)
    assert repr(generated.expand_ratios) == '(1.0, 1.5)'
    drawn = [each.sample(torch.Generator().manual_seed(3)) for each in (generated, listed)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    'wrong', [{'width_mults': (0.5, 1.0)}, {'expand_ratios': ()}, {'width_mults': 2}, {'expand_ratios': '1, 2'}]
)
def test_multipliers_below_one_are_refused(wrong):
    with pytest.raises(InputError, match='none below 1'):
        NetAug('mobilenetv2_tiny', 10, **wrong)


def test_widths_that_do_not_fit_are_refused():
    aug = NetAug('mobilenetv2_tiny', 10)
    widths = aug.sample(torch.Generator())
    with pytest.raises(InputError, match='expected 1 to 42'):
        aug.set_widths({**widths, 'stem.0.conv': 43})
    with pytest.raises(InputError, match=r'stages\.9'):
        aug.set_widths({**widths, 'stages.9.0.expand.conv': 8})


def test_a_bottleneck_expands_to_what_its_convolution_reads_most():
    aug = build('resnet50_w0.25')
    aug.sort_channels()
    norms = aug.stages[1][0].spatial.conv.weight.abs().sum((0, 2, 3))
    assert (norms.diff() < 1e-5).all() and norms[0] > norms[-1]


@pytest.mark.parametrize('arch', ['mobilenetv2_tiny', 'mobilenetv3_w0.35', 'resnet50_w0.25'])
def test_gradients_that_accumulate_move_with_their_weight(arch):
    """Sorting between two backward passes, or not at all: the full-size network computes the same after the step."""
    outputs = []
    images = torch.randn(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    for sort in (False, True):
        aug = build(arch).double()
        aug.set_widths(aug.max_widths)
        optimizer = torch.optim.SGD(aug.parameters(), lr=0.01)
        for number, batch in enumerate(images):
            if sort and number:
                aug.sort_channels(optimizer)
            F.cross_entropy(aug(batch), torch.tensor([0, 1])).backward()
        optimizer.step()
        with torch.no_grad():
            outputs.append(aug(images[0]))
    torch.testing.assert_close(*outputs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize('smoothing', [0.0, 0.3])
def test_labels_are_smoothed_as_asked_for(smoothing):
    """By the definition: a target of 1 - s + s / C for the label and s / C for each other class."""
    torch.manual_seed(0)
    model = Classifier('mobilenetv2_w0.1', 3, label_smoothing=smoothing)
    torch.nn.init.normal_(model.network.classifier.weight)  # large enough to tell
    images, labels = 9 * torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        logs = model(images).log_softmax(1)
        loss = model(images, labels, 'loss')['loss_base'].item()
    targets = (1 - smoothing) * torch.eye(3)[labels] + smoothing / 3
    assert loss == pytest.approx(-(targets * logs).sum(1).mean().item(), rel=1e-5)


def test_training_accuracy_of_mixed_labels_is_that_of_the_larger_share():
    torch.manual_seed(0)
    model, images = Classifier('mobilenetv2_w0.1', 3).eval(), torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        best = model(images).argmax(1)
        mixed = 0.6 * torch.eye(3)[best] + 0.4 * torch.eye(3)[(best + 1) % 3]
        mixed[:2] = mixed[:2].roll(1, 1)  # two images of another class
        assert model(images, mixed, 'loss')['train_top1'] == 75
