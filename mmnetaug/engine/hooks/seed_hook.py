"""Randomness that does not depend on what was drawn before."""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.datasets.samplers import derived_seed, seed_cpu
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed this process for each step by the run's seed, the step and its rank.

    MMEngine seeds once, and all processes alike: a resumed run would draw the mixing ratios and dropped blocks of its
    first steps again, and distributed processes would all draw the same. What is drawn for images is seeded by
    :class:`~mmnetaug.datasets.samplers.ResumableSampler`.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        seed = derived_seed(runner.seed, runner.iter, get_rank())
        seed_cpu(seed)
        torch.manual_seed(seed)  # GPUs too
