"""How the time and memory of a training step grow with the work."""

import os
import socket
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import count_macs
from mmnetaug.evaluation.speed import alternate, machine
from mmnetaug.models.networks.network import build_network

FAMILY = 'mobilenetv2'
BASE = {'batch': 16, 'size': 96, 'width': 0.35, 'processes': 1}
# What is varied of it, one at a time.
VARIED = {'batch': (4, 16, 64), 'size': (64, 96, 160), 'width': (0.35, 0.7, 1.4), 'processes': (1, 2)}
TOLERANCE = 1.15  # more than this times the work is reported


def measure_growth(repeats: int = 7, varied: dict[str, Sequence[float]] | None = None) -> dict[str, Any]:
    """Training steps (forward, backward, SGD) at several batches, sizes, widths and numbers of processes.

    Args:
        repeats: steps of each, those of one kind alternating.
        varied: names of ``BASE`` -> its values, ascending; ``VARIED`` if None.

    Returns:
        ``rows``, one for each value: what is varied, the four values, ``step_ms`` (median), ``memory_mb`` (what
        autograd keeps for the backward pass), ``gmacs`` of the forward pass of one process; and ``faster``, sentences
        on where time or memory grow by more than 1.15 times what the work does. Processes share their gradients by
        gloo, and each has a batch of its own: with enough cores a step of two takes as long as one of one.

    Raises:
        InputError: a name that is not varied.
    """
    rows, faster = [], []
    for name, values in (varied or VARIED).items():
        if name not in BASE:
            raise InputError(f'{name} is not varied: expected some of {", ".join(BASE)}')
        cases = [{**BASE, name: value} for value in values]
        if name == 'processes':
            times = [_distributed_step(case, repeats) for case in cases]
        else:
            steps = {str(number): _step(case) for number, case in enumerate(cases)}
            times = [median(spent) for spent in alternate(steps, repeats).values()]
        found = []
        for case, milliseconds in zip(cases, times):
            network, images = _network(case), _images(case)
            macs = count_macs(network, (3, case['size'], case['size'])) * case['batch']
            memory = _kept_bytes(network, images)
            found.append(
                {
                    'varied': name,
                    **case,
                    'step_ms': round(milliseconds, 2),
                    'memory_mb': round(memory / 2**20, 2),
                    'gmacs': round(macs / 1e9, 6),
                }
            )
        faster += [said for pair in pairwise(found) if (said := _faster(name, *pair))]
        rows += found
    return {'family': FAMILY, 'rows': rows, 'faster': faster, **machine('cpu')}


def _faster(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    work = after['gmacs'] / before['gmacs']
    grown = {key: after[key] / before[key] for key in ('step_ms', 'memory_mb')}
    if not any(ratio > TOLERANCE * work for ratio in grown.values()):
        return ''
    return (
        f'{name} {before[name]} to {after[name]}: the work x{work:.2f}, the time x{grown["step_ms"]:.2f}, the memory '
        f'x{grown["memory_mb"]:.2f}'
    )


def _network(case: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return build_network(f'{FAMILY}_w{case["width"]}', 100).to(memory_format=torch.channels_last).train()


def _images(case: dict[str, Any]) -> Tensor:
    images = torch.randn(case['batch'], 3, case['size'], case['size'])
    return images.contiguous(memory_format=torch.channels_last)


def _step(case: dict[str, Any], wrap: Any = lambda network: network) -> Any:
    network, images = wrap(_network(case)), _images(case)
    labels = torch.arange(case['batch']) % 100
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _kept_bytes(network: nn.Module, images: Tensor) -> int:
    """Bytes of all that autograd keeps of a forward pass, without the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = network(images).sum()
    del loss  # which held them until here, so that no storage was used twice
    return sum(kept.values())


def _distributed_step(case: dict[str, Any], repeats: int) -> float:
    """Milliseconds of a step in the first of some processes."""
    if case['processes'] == 1:
        return median(alternate({'one': _step(case)}, repeats)['one'])
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{free.getsockname()[1]}'
    context = multiprocessing.get_context('spawn')
    found = context.SimpleQueue()
    arguments = (case, repeats, address, torch.get_num_threads(), found)
    multiprocessing.spawn(_measure_in_process, arguments, nprocs=case['processes'])
    return found.get()


def _measure_in_process(rank: int, case: dict[str, Any], repeats: int, address: str, threads: int, found: Any) -> None:
    torch.set_num_threads(threads)
    os.environ.setdefault('GLOO_SOCKET_IFNAME', 'lo')
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=case['processes'])
    spent = alternate({'all': _step(case, DistributedDataParallel)}, repeats)['all']
    if rank == 0:
        found.put(median(spent))
    dist.destroy_process_group()
