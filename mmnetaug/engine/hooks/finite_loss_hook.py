"""An end to training that has gone astray."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.hooks.checkpoint_hook import gone_astray
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """End a run whose loss is NaN or infinite, before anything of it is saved.

    Args:
        interval: iterations between two looks on a GPU, which must wait for the loss; elsewhere each one is looked at.
    """

    priority = 'HIGH'  # before a checkpoint is saved

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        loss = (outputs or {}).get('loss')
        if not isinstance(loss, torch.Tensor) or (loss.is_cuda and (batch_idx + 1) % self.interval):
            return
        if not torch.isfinite(loss):
            raise gone_astray(runner, f'the loss is {loss.item()}')
