"""Memory of a network on a microcontroller, before there is one: int8, one image, as TFLite lays it out."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmnetaug.errors import InputError
from mmnetaug.evaluation.complexity import OperationMode, blank_image, run_once
from mmnetaug.models.fusion import fused
from mmnetaug.models.networks.layers import same_pads
from mmnetaug.models.networks.network import input_channels
from mmnetaug.models.task_modules.prior_generators import Size, width_height

ALIGNMENT = 16  # bytes that tflite-micro rounds every tensor up to
# Operations that TFLite folds into the one before, or that move no data.
FUSED = {
    *('native_batch_norm', '_native_batch_norm_legit_no_training', 'cudnn_batch_norm'),
    *('relu', 'hardtanh', 'hardsigmoid', 'clone', '_to_copy', 'detach', 'alias'),
}
Pads = tuple[tuple[int, int], tuple[int, int]]  # above and below, left and right
NO_PADS: Pads = ((0, 0), (0, 0))
FLOAT_BYTES = 4
WITH_WEIGHTS = (nn.modules.conv._ConvNd, nn.Linear)
DEFAULT_POOLING = ([], [], [0, 0], [1, 1])  # kernel, stride, padding, dilation


def peak_memory(model: nn.Module, size: Size) -> int:
    """Bytes that int8 activations take, see :func:`describe_memory`."""
    return describe_memory(model, size)['peak_memory']


def describe_memory(model: nn.Module, size: Size) -> dict[str, Any]:
    """Memory for one image in int8, by the tensors that an interpreter such as tflite-micro must hold at once.

    Each tensor lives from the layer that gives it to the last one that reads it, in the order of the network; the
    input counts, and the outputs (of a detector the raw maps of its head) live to the end. Normalisation, ReLU, ReLU6
    and hard sigmoid are part of the layer before; other activations give new tensors, and LeakyReLU is computed in
    float, as TFLite's quantizer leaves it. A convolution or max pooling whose padding is not TFLite's (which for stride
    2 is more on the right and at the bottom) reads a padded copy of its input, which lives beside it. The tensors are
    laid out as tflite-micro does it, which seldom leaves gaps. The interpreter's own tables come on top.

    Args:
        model: takes (N, C, H, W) images; its mode is left as it was.
        size: side of the images in pixels, or width and height.

    Returns:
        ``peak_memory``, bytes of activations; ``peak_layer``, the name of the module that runs while most of them live;
        and ``weight_bytes``: a byte for a weight, four for the bias of each channel of a convolution or linear layer.

    Raises:
        InputError: a size that the model cannot take.
    """
    return memory_and_macs(model, size)[0]


def memory_and_macs(model: nn.Module, size: Size) -> tuple[dict[str, Any], Counter[str]]:
    """Of one run: what :func:`describe_memory` tells, and the multiply-accumulates of each layer, by its name, as
    :func:`~mmnetaug.evaluation.complexity.count_macs` counts them."""
    width, height = width_height(size)
    try:
        image = blank_image(model, (input_channels(model), height, width))
        with _layers(model) as running, _Recorder(image, running) as recorder:
            output = run_once(model, image)
    except NotImplementedError as error:  # an operator that is missing here
        raise InputError(str(error)) from error
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(
            f'images of {width}x{height} pixels do not fit this network ({error}): expected sides such as 96 or 160, '
            'multiples of 32'
        ) from error
    peak, layer = recorder.peak(output)
    return {'peak_memory': peak, 'peak_layer': layer, 'weight_bytes': _weight_bytes(fused(model))}, recorder.macs


def table_bytes(model: nn.Module) -> tuple[int, int]:
    """What tflite-micro needs beside activations, and a TFLite file beside weights, in bytes.

    Both keep eight bytes for each channel of a convolution or linear layer: multiplier and shift, and two scales. What
    else they say of a layer is measured: 300 to 450 bytes in the memory (on a computer of 64 bits; a chip of 32 needs
    less), 450 to 650 in the file. Eight detectors took 80 to 117 KB of memory and 93 to 130 KB of file for it: the
    first is 8 KB too high to 5 KB too low, the second within 10 KB. Networks of a tenth of the width take up to 16 KB
    less.
    """
    outputs = [_outputs(part) for part in model.modules() if isinstance(part, WITH_WEIGHTS)]
    return 8 * sum(outputs) + 400 * len(outputs), 8 * sum(outputs) + 550 * len(outputs)


def _outputs(part: nn.Module) -> int:
    return part.out_features if isinstance(part, nn.Linear) else part.out_channels


def _weight_bytes(model: nn.Module) -> int:
    """Of a model as it is deployed."""
    folded = (nn.modules.batchnorm._BatchNorm,)  # into the convolution before
    total = 0
    for part in model.modules():
        if isinstance(part, WITH_WEIGHTS):
            total += part.weight.numel() + 4 * _outputs(part)
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


class _Recorder(OperationMode):
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

    def see(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        super().see(func, args, kwargs, result)
        name = func.overloadpacket.__name__
        read = [each for each in tree_leaves(args) if isinstance(each, Tensor) and _storage(each) in self.number]
        given = [each for each in tree_leaves(result) if isinstance(each, Tensor) and each.is_floating_point()]
        if not name.endswith('_'):  # else in place, where TFLite may give a new tensor all the same
            given = [each for each in given if _storage(each) not in self.number]  # no views
        if read and given:
            self.kept += given
            self._record(name.rstrip('_'), args, read, given)

    def _record(self, name: str, args: tuple, read: list[Tensor], given: list[Tensor]) -> None:
        if name in FUSED or name == 'constant_pad_nd':
            self.number[_storage(given[0])] = self.number[_storage(read[0])]
            if name == 'constant_pad_nd':
                self.pads[_storage(given[0])] = _last_two(args[1])
            return
        places = {self._as_read(each, _window(name, args)) for each in read}
        if name == 'silu':  # a sigmoid, and a product with it
            gate = self._new(read[0].numel())
            self._step(*places, gate)
            places.add(gate)
        if name == 'leaky_relu':  # from a copy in float to another
            copy, result = (self._new(FLOAT_BYTES * read[0].numel()) for _ in range(2))
            self._step(*places, copy)
            self._step(copy, result)
            places = {result}
        self._step(*places, *(self._new(each.numel(), each) for each in given))

    def _as_read(self, tensor: Tensor, window: tuple[Sequence[int], ...] | None) -> int:
        """The number of what is read: of the tensor, or of a padded copy that is made first."""
        place, before = self.number[_storage(tensor)], self.pads.get(_storage(tensor), NO_PADS)
        sides = [side - sum(pad) for side, pad in zip(tensor.shape[2:], before)]
        pads = before
        if window and len(sides) == 2:
            kernel, stride, padding, dilation = window
            pads = tuple((first + own, last + own) for (first, last), own in zip(before, padding))
            if pads == tuple(map(same_pads, sides, kernel, stride, dilation)):
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
        self.steps.append((self.layer(), set(places)))

    def layer(self) -> str:
        return self.running[-1] if self.running else ''

    def peak(self, output: Any) -> tuple[int, str]:
        """Bytes of the arena, and the layer that runs while most live. ``output``: what lives to the end."""
        if not self.steps:  # what is fused into nothing before it
            return self.bytes[0], ''
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
        tensors = [(self.bytes[place], first[place], last[place]) for place in sorted(first)]
        return arena_bytes(tensors), self.steps[live.index(max(live))][0]


def arena_bytes(tensors: Sequence[tuple[int, int, int]]) -> int:
    """Bytes that tflite-micro's ``GreedyMemoryPlanner`` lays tensors out in: the largest first, of equal ones the last,
    each in the lowest gap between those that live at the same time.

    Args:
        tensors: bytes, first and last step of each, in the order of the network.
    """
    placed: list[tuple[int, int, int, int]] = []  # beginning and end in the arena, first and last step
    for number in sorted(range(len(tensors)), key=lambda number: (tensors[number][0], number), reverse=True):
        size, first, last = tensors[number]
        offset = 0
        for begin, end, since, until in sorted(placed):
            if since <= last and first <= until:
                if begin - offset >= size:
                    break
                offset = max(offset, end)
        placed.append((offset, offset + size, first, last))
    return max(end for _, end, _, _ in placed)


def _window(name: str, args: tuple) -> tuple[Sequence[int], ...] | None:
    """Kernel, stride, padding and dilation of a convolution or max pooling; None of other operations."""
    if name == 'convolution' and not args[6]:  # transposed
        return args[1].shape[2:], *args[3:6]
    if name == 'max_pool2d_with_indices':
        kernel, stride, padding, dilation = (*args[1:], *DEFAULT_POOLING[len(args) - 1 :])[:4]
        return kernel, stride or kernel, padding, dilation
    return None


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _last_two(pads: Sequence[int]) -> Pads:
    """Padding of height and width, from PyTorch's list, which begins with the last dimension."""
    left, right, top, bottom = (*pads, 0, 0)[:4]
    return ((top, bottom), (left, right))
