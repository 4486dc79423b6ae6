"""Randomness that does not repeat."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.runner import derived_seed
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed this process for each epoch by the run's seed, the epoch and its rank.

    MMEngine seeds once, and all processes alike: a resumed run would draw the mixing ratios and dropped blocks of its
    first epochs again, and distributed processes would all draw the same.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        seed = derived_seed(runner.seed, runner.epoch, get_rank())
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
