"""Memory of a network on a microcontroller, before there is one: int8, one image, as TFLite lays it out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmnetaug.evaluation.complexity import input_channels, run_once
from mmnetaug.models.networks.layers import same_pads
from mmnetaug.models.task_modules.prior_generators import Size, width_height

ALIGNMENT = 16  # bytes that tflite-micro rounds every tensor up to
# Operations that TFLite folds into the one before, or that move no data.
FUSED = {
    *('native_batch_norm', '_native_batch_norm_legit_no_training', 'cudnn_batch_norm'),
    *('relu', 'hardtanh', 'hardsigmoid', 'clone', '_to_copy', 'detach', 'alias'),
}
Pads = tuple[tuple[int, int], tuple[int, int]]  # above and below, left and right
NO_PADS: Pads = ((0, 0), (0, 0))


def peak_memory(model: nn.Module, size: Size) -> int:
    """Most bytes of int8 activations that live at once, see :func:`describe_memory`."""
    return describe_memory(model, size)['peak_memory']


def describe_memory(model: nn.Module, size: Size) -> dict[str, Any]:
    """Memory for one image in int8, by the tensors that an interpreter such as tflite-micro must hold at once.

    Each tensor lives from the layer that gives it to the last one that reads it, in the order of the network; the
    input counts, and the outputs (of a detector the raw maps of its head) live to the end. Normalisation, ReLU, ReLU6
    and hard sigmoid are part of the layer before; other activations give new tensors. A convolution whose padding is
    not TFLite's (which for stride 2 is more on the right and at the bottom) reads a padded copy of its input, which
    lives beside it. LeakyReLU counts as int8, though TFLite's quantizer leaves it in float. The interpreter's own
    tables come on top.

    Args:
        model: takes (N, C, H, W) images; its mode is left as it was.
        size: side of the images in pixels, or width and height.

    Returns:
        ``peak_memory``, bytes of activations at the peak; ``peak_layer``, the name of the module that runs there; and
        ``weight_bytes``: a byte for a weight, four for the bias of each channel of a convolution or linear layer.
    """
    width, height = width_height(size)
    image = torch.zeros(1, input_channels(model), height, width, device=next(model.parameters()).device)
    with _layers(model) as running, _Recorder(image, running) as recorder:
        output = run_once(model, image)
    peak, layer = recorder.peak(output)
    return {'peak_memory': peak, 'peak_layer': layer, 'weight_bytes': _weight_bytes(model)}


def _weight_bytes(model: nn.Module) -> int:
    folded = (nn.modules.batchnorm._BatchNorm,)  # into the convolution before
    total = 0
    for part in model.modules():
        if isinstance(part, (nn.modules.conv._ConvNd, nn.Linear)):
            outputs = part.out_channels if hasattr(part, 'out_channels') else part.out_features
            total += part.weight.numel() + 4 * outputs
        elif not isinstance(part, folded):
            total += sum(parameter.numel() for parameter in part.parameters(recurse=False))
    return total


@contextmanager
def _layers(model: nn.Module) -> Iterator[list[str]]:
    """The names of the modules that run, the innermost last."""
    running: list[str] = []
    hooks = []

    def leave(*_: Any) -> None:
        running.pop()

    for name, part in model.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
        hooks.append(part.register_forward_hook(leave))
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):
    """Which tensors each operation reads and gives. A tensor is known by its storage: views and what is changed in
    place are the same one."""

    def __init__(self, image: Tensor, running: list[str]) -> None:
        super().__init__()
        self.running = running
        self.kept = [image]  # so that no storage is used for another tensor
        self.bytes: list[int] = []  # of each tensor, by its number
        self.number: dict[int, int] = {}  # storage -> number
        self.pads: dict[int, Pads] = {}  # storage -> padding that nothing has carried out yet
        self.steps: list[tuple[str, set[int]]] = []  # layer, tensors that it reads and gives
        self._new(image.numel(), image)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        read = [each for each in tree_leaves(args) if isinstance(each, Tensor) and _storage(each) in self.number]
        given = [each for each in tree_leaves(result) if isinstance(each, Tensor) and each.is_floating_point()]
        if not name.endswith('_'):  # else in place, where TFLite may give a new tensor all the same
            given = [each for each in given if _storage(each) not in self.number]  # no views
        if read and given:
            self.kept += given
            self._record(name.rstrip('_'), args, read, given)
        return result

    def _record(self, name: str, args: tuple, read: list[Tensor], given: list[Tensor]) -> None:
        if name in FUSED or name == 'constant_pad_nd':
            self.number[_storage(given[0])] = self.number[_storage(read[0])]
            if name == 'constant_pad_nd':
                self.pads[_storage(given[0])] = _last_two(args[1])
            return
        places = {self._as_read(each, args if name == 'convolution' else None) for each in read}
        if name == 'silu':  # a sigmoid, and a product with it
            gate = self._new(read[0].numel())
            self._step(*places, gate)
            places.add(gate)
        self._step(*places, *(self._new(each.numel(), each) for each in given))

    def _as_read(self, tensor: Tensor, convolution: tuple | None) -> int:
        """The number of what is read: of the tensor, or of a padded copy that is made first."""
        place, before = self.number[_storage(tensor)], self.pads.get(_storage(tensor), NO_PADS)
        sides = [side - sum(pad) for side, pad in zip(tensor.shape[2:], before)]
        pads = before
        if convolution and len(sides) == 2 and not convolution[6]:  # transposed
            _, weight, _, stride, padding, dilation, *_ = convolution
            pads = tuple((first + own, last + own) for (first, last), own in zip(before, padding))
            if pads == tuple(map(same_pads, sides, weight.shape[2:], stride, dilation)):
                return place
        if pads == NO_PADS:
            return place
        copy = self._new(tensor.shape[1] * math.prod(side + sum(pad) for side, pad in zip(sides, pads)))
        self._step(place, copy)
        return copy

    def _new(self, size: int, tensor: Tensor | None = None) -> int:
        self.bytes.append(ALIGNMENT * math.ceil(size / ALIGNMENT))
        if tensor is not None:
            self.number[_storage(tensor)] = len(self.bytes) - 1
        return len(self.bytes) - 1

    def _step(self, *places: int) -> None:
        self.steps.append((self.running[-1] if self.running else '', set(places)))

    def peak(self, output: Any) -> tuple[int, str]:
        """Most bytes that live at once, and the layer that runs then. ``output``: what lives to the end."""
        first, last = {}, {}
        for step, (_, places) in enumerate(self.steps):
            for place in places:
                first.setdefault(place, step)
                last[place] = step
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and _storage(tensor) in self.number:
                last[self.number[_storage(tensor)]] = len(self.steps)
        live = [
            sum(self.bytes[place] for place in first if first[place] <= step <= last[place])
            for step in range(len(self.steps))
        ]
        return max(live), self.steps[live.index(max(live))][0]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _last_two(pads: Sequence[int]) -> Pads:
    """Padding of height and width, from PyTorch's list, which begins with the last dimension."""
    left, right, top, bottom = (*pads, 0, 0)[:4]
    return ((top, bottom), (left, right))
