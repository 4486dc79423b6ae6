"""The rate of DropBlock over training."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.engine.runtime import bare_model
from mmnetaug.models.regularizers import dropblocks
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class DropBlockHook(Hook):
    """Raise the rate linearly over training, to its full value at the last step (arXiv 1810.12890, section 3).

    mmdet's layer counts its own calls, which are neither steps nor kept in a checkpoint: it is told the step.
    """

    def before_train(self, runner: Runner) -> None:
        self.layers = dropblocks(bare_model(runner))
        for layer in self.layers:
            layer.warmup_iters = runner.max_iters

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        for layer in self.layers:
            layer.iter_cnt = runner.iter
