"""Cost of a network: multiply-accumulates and parameters."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmnetaug.errors import InputError, check_whole


class OperationMode(TorchDispatchMode):
    """Counts multiply-accumulates, as PyTorch's ``FlopCounterMode`` counts operations, but without PyTorch's compiler,
    whose import takes two seconds.

    An operation that consists of others is seen as these, also in ``torch.inference_mode``, where PyTorch leaves it
    whole. What :meth:`see` is given has run.

    Attributes:
        macs: of each layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in flop_registry:  # as PyTorch's FlopCounterMode does
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        self.see(func, args, kwargs, result)
        return result

    def see(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        """An operation, with what it was called with and what it gave."""
        if func.overloadpacket in flop_registry:  # each MAC is two floating-point operations
            self.macs[self.layer()] += flop_registry[func.overloadpacket](*args, **kwargs, out_val=result) // 2

    def layer(self) -> str:
        """The name of the layer that runs."""
        return ''


def count_macs(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image's convolutions and linear layers (normalisation folded away).

    Args:
        network: any module that takes an (N, 3, H, W) float tensor; its mode is left as it was.
        input_shape: (channels, height, width) in pixels.

    Raises:
        InputError: another shape.
    """
    if not isinstance(input_shape, Iterable) or len(shape := tuple(input_shape)) != 3:
        raise InputError(f'input_shape is {input_shape!r}: expected channels, height and width, such as (3, 224, 224)')
    for number in shape:
        check_whole('each number of input_shape', number, 1)
    image = blank_image(network, shape)
    with OperationMode() as counter:  # which sees operations that run
        run_once(network, image)
    return counter.macs.total()


def blank_image(network: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """(1, channels, height, width) zeros where a network is and of its type."""
    weight = next(network.parameters(), torch.zeros(()))
    return torch.zeros(1, *shape, device=weight.device, dtype=weight.dtype)


@torch.no_grad()
def run_once(network: nn.Module, image: Tensor) -> Any:
    """What a network gives for an image in evaluation mode; the mode of each part is left as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()  # which gives nothing back in some of mmdet's backbones
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # attention as matrix products, which are counted
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return network(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training


def count_params(network: nn.Module) -> int:
    """Number of weights, biases and normalisation scales; running statistics are not counted."""
    return sum(parameter.numel() for parameter in network.parameters())
