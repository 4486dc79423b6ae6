"""How the samples of a detector become a batch, and reach the process that trains."""

import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate

from mmnetaug.registry import FUNCTIONS


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, torch.Tensor) else NotImplemented


class Samples(list):
    """A list that another process gets as bytes.

    PyTorch hands over each tensor in a block of shared memory of its own, which costs more than copying the boxes and
    labels of a sample, four small tensors.
    """

    def __reduce__(self) -> tuple:
        buffer = io.BytesIO()
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(list(self))
        return pickle.loads, (buffer.getvalue(),)


@FUNCTIONS.register_module()
def collate_detection(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch as mmdet's data preprocessor takes it, in one block of memory where all images have one size.

    Args:
        samples: of ``PackDetInputs``: ``inputs`` (C, H, W) and ``data_samples``.

    Returns:
        ``inputs`` (N, C, H, W), or a list of N images of several sizes, and the list ``data_samples``. Of samples of
        other kinds, such as those of test-time augmentation and of mmdet's inferencer, what ``pseudo_collate`` gives.
    """
    batch = pseudo_collate(samples)
    images = batch['inputs'] if isinstance(batch, Mapping) else [None]
    if not all(isinstance(image, torch.Tensor) for image in images):
        return batch
    if len({image.shape for image in images}) == 1:
        memory = None
        if torch.utils.data.get_worker_info() is not None:  # stacked where the other process reads it
            shape = len(images), *images[0].shape
            size = len(images) * images[0].numel()
            memory = images[0]._typed_storage()._new_shared(size, device='cpu')
            memory = images[0].new(memory).resize_(shape)
        batch['inputs'] = torch.stack(images, out=memory)
    return {**batch, 'data_samples': Samples(batch['data_samples'])}
