"""Speed of training steps and of detectors. Machines are noisy: things are compared in one run, alternating."""

import itertools
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.layers import bbox_nms
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mmnetaug.errors import InputError, check_whole
from mmnetaug.models.fusion import fused
from mmnetaug.models.networks.netaug import NetAug
from mmnetaug.models.networks.network import build_network, input_channels
from mmnetaug.models.task_modules.prior_generators import Size, width_height


def machine(device: str) -> dict[str, Any]:
    """What a figure of speed on this device ('cpu' or 'cuda') depends on."""
    name = torch.cuda.get_device_name() if device == 'cuda' else f'{platform.machine()}, {os.cpu_count()} cores'
    return {'device': name, 'threads': torch.get_num_threads(), 'torch': torch.__version__}


def alternate(ways: dict[str, Callable[[], Any]], repeats: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Milliseconds of each way to do the same, taken in turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + warm_up):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat >= warm_up:
                spent[name].append(1000 * (time.perf_counter() - start))
    return spent


def _training_step(network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(0)

    @precision_of(precision)
    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        if isinstance(network, NetAug):
            network.sample(generator)
            F.cross_entropy(network(images), labels).backward()
            network.set_base()
        optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """Compute in 'float32', in 'tf32' (a GPU's tensor cores) or in 'bf16' (autocast).

    Raises:
        InputError: 'tf32' without a GPU.
    """
    if name == 'tf32' and not torch.cuda.is_available():
        raise InputError('tf32 is a precision of GPUs, and PyTorch sees none here: expected float32 or bf16')
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == 'tf32'
    try:
        with torch.autocast('cuda' if torch.cuda.is_available() else 'cpu', torch.bfloat16, name == 'bf16'):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def measure_training(arch: str, size: int, batch: int, repeats: int = 15, precision: str = 'float32') -> dict[str, Any]:
    """Throughput of a training step: forward, backward and SGD, without data loading.

    Measured are the plain network in PyTorch's default layout (NCHW), the plain network as we train it
    (channels_last), and NetAug as we train it, that is, the base pass and one augmented pass with widths and
    expansions drawn afresh.

    Args:
        arch: see :func:`~mmnetaug.models.networks.build_network`.
        size: side of the images in pixels.
        batch: images a step.
        repeats: steps of each, alternating.
        precision: see :func:`precision_of`.

    Returns:
        Images per second of each (median), and ``netaug_ratio``, the median over repeats of NetAug's throughput
        relative to the plain NCHW step beside it.
    """
    for name, value in [('size', size), ('batch', batch), ('repeats', repeats)]:
        check_whole(name, value, 1)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    images = torch.randn(batch, 3, size, size, device=device)
    labels = torch.randint(1000, (batch,), device=device)
    last = images.contiguous(memory_format=torch.channels_last)
    plain, netaug = (build(arch).to(device, memory_format=torch.channels_last) for build in (build_network, NetAug))
    steps = {
        'plain_nchw': _training_step(build_network(arch).to(device), images, labels, precision),
        'plain': _training_step(plain, last, labels, precision),
        'netaug': _training_step(netaug, last, labels, precision),
    }
    # cuDNN prepares itself for each new shape, and draws have many
    spent = alternate(steps, repeats, warm_up=200 if device == 'cuda' else 2)
    return {
        'arch': arch,
        'size': size,
        'batch': batch,
        'repeats': repeats,
        'precision': precision,
        **{f'{name}_images_per_s': round(1000 * batch / median(times), 2) for name, times in spent.items()},
        'plain_ratio': round(median(a / b for a, b in zip(spent['plain_nchw'], spent['plain'])), 3),
        'netaug_ratio': round(median(a / b for a, b in zip(spent['plain_nchw'], spent['netaug'])), 3),
        **machine(device),
    }


@torch.no_grad()
def measure_inference(
    detector: SingleStageDetector, size: Size, repeats: int = 30, images: Sequence[Tensor] = ()
) -> dict[str, Any]:
    """Latency of one image, from pixels to boxes, and how much of it is non-maximum suppression.

    Args:
        detector: a detector; a copy of it is measured, as :class:`~mmnetaug.apis.detector.Detector` runs one, with
            normalisation fused into convolutions.
        size: side of the image in pixels, or width and height.
        repeats: how often an image is detected; the first three warm up and do not count.
        images: taken in turn, each (C, H, W) uint8 in BGR; noise where there are none, of which a trained detector may
            take longer, as it leaves more boxes to suppression.

    Returns:
        ``latency_ms`` (median) and ``nms_share``, the median share of the latency, as a fraction.
    """
    detector = fused(detector)
    width, height = width_height(size)
    shape = input_channels(detector), height, width
    images = images or [torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))]
    in_nms = 0.0
    kinds = [sys.modules[kind.__module__] for kind in type(detector.bbox_head).__mro__]
    users = {module for module in [bbox_nms, *kinds] if hasattr(module, 'batched_nms')}
    batched_nms = bbox_nms.batched_nms

    def timed_nms(*args: Any, **kwargs: Any) -> Any:
        nonlocal in_nms
        start = time.perf_counter()
        result = batched_nms(*args, **kwargs)
        in_nms += time.perf_counter() - start
        return result

    latencies, shares = [], []
    with ExitStack() as patches:
        for module in users:
            patches.enter_context(mock.patch.object(module, 'batched_nms', timed_nms))
        for image in itertools.islice(itertools.cycle(images), repeats):
            height, width = image.shape[1:]
            meta = {'img_shape': (height, width), 'ori_shape': (height, width), 'scale_factor': (1.0, 1.0)}
            meta['border'] = (0, height, 0, width)  # top, bottom, left and right of the image, which CenterNet reads
            in_nms = 0.0
            start = time.perf_counter()
            detector.test_step({'inputs': [image], 'data_samples': [DetDataSample(metainfo=meta)]})
            latencies.append(time.perf_counter() - start)
            shares.append(in_nms / latencies[-1])
    return {'latency_ms': round(1000 * median(latencies[3:]), 2), 'nms_share': round(median(shares[3:]), 4)}
