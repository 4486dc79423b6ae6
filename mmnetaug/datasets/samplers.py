"""Which images a run is trained on, in which order, and with which random draws: the same in every resumed run."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import Dataset

from mmnetaug.registry import DATA_SAMPLERS


def derived_seed(*parts: int) -> int:
    """A seed of 32 bits out of a run's seed and counters. Hashed: neighbouring seeds of torch share their draws."""
    return random.Random('/'.join(map(str, parts))).getrandbits(32)


def seed_cpu(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's random numbers on the CPU in this process.

    Not by ``torch.manual_seed``, which has GPUs seeded too and keeps the stack of its caller for that: it takes longer
    than a small image.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


class SeededIndex(int):
    """The number of a sample, with the seed of what is drawn for it in this epoch."""

    seed: int

    def __new__(cls, value: int, seed: int) -> 'SeededIndex':
        index = super().__new__(cls, value)
        index.seed = seed
        return index

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.seed)

    def __mod__(self, size: int) -> 'SeededIndex':  # of RepeatDataset
        return SeededIndex(int(self) % size, self.seed)

    def __sub__(self, before: int) -> 'SeededIndex':  # of ConcatDataset
        return SeededIndex(int(self) - before, self.seed)


def _with_all_below(dataset: Dataset) -> Iterator[Dataset]:
    """A data set, and those within ``RepeatDataset``, ``ConcatDataset`` and the like."""
    yield dataset
    for below in getattr(dataset, 'datasets', [dataset.dataset] if hasattr(dataset, 'dataset') else []):
        yield from _with_all_below(below)


def data_sets(dataset: Dataset) -> list[Dataset]:
    """Those that read files, within ``RepeatDataset``, ``ConcatDataset`` and the like."""
    return [each for each in _with_all_below(dataset) if not (hasattr(each, 'datasets') or hasattr(each, 'dataset'))]


class _SeededList(list):
    """Numbers of samples that keep the seed with which they are looked up."""

    def __getitem__(self, index: int) -> int:
        found = super().__getitem__(index)
        return SeededIndex(found, index.seed) if isinstance(index, SeededIndex) else found


class SeededSamples:
    """A data set whose samples follow from the run's seed, the epoch and their number, whichever process makes them."""

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, SeededIndex):
            seed_cpu(index.seed)
        return super().__getitem__(int(index))


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, which gives each sample a seed and can skip what was done of an epoch already.

    A worker that lives on through epochs learns the epoch from the seed that comes with a sample's number.

    Attributes:
        skip: how many samples of this process the next iteration leaves out; set by
            :class:`~mmnetaug.engine.loops.ResumableTrainLoop`.
    """

    skip = 0

    def __init__(self, dataset: Dataset, *args: Any, **options: Any) -> None:
        super().__init__(dataset, *args, **options)
        for each in _with_all_below(dataset):
            if hasattr(each, 'repeat_indices'):  # ClassBalancedDataset, which looks its samples' numbers up
                each.repeat_indices = _SeededList(each.repeat_indices)

    def __iter__(self) -> Iterator[int]:
        indices = list(super().__iter__())
        skip, self.skip = self.skip, 0
        for index in indices[skip:]:
            yield SeededIndex(index, derived_seed(self.seed, self.epoch, index))
