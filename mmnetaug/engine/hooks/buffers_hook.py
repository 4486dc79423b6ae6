"""Statistics of normalisation that several processes share."""

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook
from mmengine.hooks import SyncBuffersHook as _SyncBuffersHook
from mmengine.runner import Runner

from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class SyncBuffersHook(_SyncBuffersHook):
    """MMEngine's ``SyncBuffersHook``, for averages of weights (``EMAHook``) too: they are what is validated and
    exported, with statistics that each process has of its own images otherwise."""

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        if self.distributed:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    statistics = [each for each in hook.ema_model.buffers() if each.is_floating_point()]
                    all_reduce_params(statistics, op='mean')
