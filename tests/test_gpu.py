"""What only a GPU shows: `make test-gpu`."""

import warnings

import numpy as np
import pytest
import torch
from helpers import detector_config, pretrain_config, write_photographs

from mmnetaug import Detector, NetAug, build_network
from mmnetaug.apis.overrides import detection_mixup_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.archs import NETWORKS
from mmnetaug.checkpoint import load_network
from mmnetaug.engine.runner import training_runner
from mmnetaug.evaluation.metrics import TopK

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='PyTorch sees no GPU')

HEADS = ('ssdlite_baseline', 'yolov3_baseline_adamw', 'rtmdet_baseline', 'gfl_baseline')


@pytest.fixture
def photographs(tmp_path):
    return write_photographs(tmp_path / 'voc')


def with_amp(config, amp):
    if amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
    return config


@pytest.mark.parametrize('arch', sorted(NETWORKS))
def test_two_steps_of_every_network(arch):
    network = build_network(arch, 10).cuda()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(4, 3, 64, 64, device='cuda'), torch.arange(4, device='cuda')
    for _ in range(2):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)


def test_draws_and_export_of_netaug():
    """The export gives the supernet's outputs on a GPU too; draws do not wait for it."""
    supernet = NetAug('mobilenetv2_tiny', 10).cuda().eval()
    images, generator = torch.randn(4, 3, 64, 64, device='cuda'), torch.Generator().manual_seed(0)
    supernet(images)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        for _ in range(3):
            supernet.sample(generator)
            supernet(images)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    supernet.set_base()
    with torch.no_grad():
        assert torch.allclose(supernet.export().cuda().eval()(images), supernet(images), atol=1e-4)


@pytest.mark.parametrize('amp', [False, True], ids=['float32', 'amp'])
@pytest.mark.parametrize('name', ['baseline_mbv2_tiny_cifar100', 'netaug_mbv2_tiny_cifar100'])
def test_pretraining_and_resume(image_tree, tmp_path, name, amp):
    pretrain(with_amp(pretrain_config(image_tree, tmp_path / 'run', name, epochs=1), amp))
    longer = with_amp(pretrain_config(image_tree, tmp_path / 'two', name, epochs=2), amp)
    result = pretrain(longer)
    assert 0 <= result['top1'] <= 100
    checkpoint = torch.load(tmp_path / 'two/epoch_2.pth')
    assert ('loss_scaler' in checkpoint['optimizer']) == amp
    again = with_amp(pretrain_config(image_tree, tmp_path / 'two', name, epochs=2), amp)
    again.resume = True
    assert pretrain(again)['top1'] == pytest.approx(result['top1'], abs=5)
    images = torch.randn(2, 3, 32, 32)
    network = load_network(tmp_path / 'two/export.pth', 2).eval()
    with torch.no_grad():
        assert torch.allclose(network(images), network.cuda()(images.cuda()).cpu(), atol=1e-2)


@pytest.mark.parametrize('amp', [False, True], ids=['float32', 'amp'])
@pytest.mark.parametrize('head', HEADS)
def test_detectors(photographs, tmp_path, head, amp):
    config = with_amp(detector_config(photographs, tmp_path / 'run', f'{head}_voc', epochs=3), amp)
    result = train_detector(config)
    assert 0 <= result['AP50_area'] <= 1
    images = sorted((photographs / 'JPEGImages').iterdir())[:3]
    on_cpu, on_gpu = (Detector(result['checkpoint'], device=device)(images) for device in ('cpu', 'cuda'))
    for one, other in zip(on_cpu, on_gpu):
        number = min(len(one.scores), len(other.scores), 5)
        assert np.abs(one.scores[:number] - other.scores[:number]).max(initial=0) < 1e-2


def test_batches_are_fetched_while_the_gpu_computes(image_tree, tmp_path):
    """Pinned, copied without waiting, counted with one wait a batch; and the optimizer's update is one kernel."""
    runner = training_runner(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_tiny_cifar100'))
    assert all(group['fused'] for group in runner.optim_wrapper.optimizer.param_groups)
    batch = next(iter(runner.train_loop.dataloader))
    assert batch['inputs'].is_pinned()
    runner.model.data_preprocessor(batch, True)  # the first call prepares the device
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        runner.model.data_preprocessor(batch, True)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    metric = TopK()
    logits, labels = torch.randn(64, 10, device='cuda'), torch.arange(64, device='cuda') % 10
    samples = [{'logits': row, 'label': label} for row, label in zip(logits, labels)]
    with warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            metric.process({}, samples)
        finally:
            torch.cuda.set_sync_debug_mode('default')
    assert len([wait for wait in waits if 'synchronizing' in str(wait.message)]) == 1


def test_detection_mixup(photographs, tmp_path):
    config = detector_config(photographs, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=2)
    config.merge_from_dict(detection_mixup_options(config, True))
    assert train_detector(config)['mixup']
