"""The NetAug schedule in MMEngine's training loop."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import nn

from mmnetaug.datasets.samplers import derived_seed
from mmnetaug.engine.runner import bare_model
from mmnetaug.engine.schedule import warmup_epochs
from mmnetaug.errors import InputError
from mmnetaug.models.classifiers import Classifier
from mmnetaug.models.networks import NetAug
from mmnetaug.registry import HOOKS


@torch.no_grad()
def estimate_norm_statistics(model: Classifier, batches: Iterable[dict], max_images: int) -> None:
    """Estimate normalisation statistics afresh: the mean over batches of each batch's mean and variance.

    Needed because all sub-networks of a supernet update the same running statistics (NetAug paper, section 4.1).
    Distributed processes see their own batches and end with the same average.

    Args:
        model: acts as the network whose statistics are wanted; its mode is left as it was.
        batches: what a data loader of the model's training gives.
        max_images: at most as many, over all processes, but for a first batch that has more.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum, training = norms[0].momentum, model.training
    model.eval()  # no dropout and the like
    for norm in norms:
        norm.train()
    seen = 0
    for count, batch in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / count  # a running mean over batches
        data = model.data_preprocessor(batch, True)
        model(data['inputs'])
        images = len(data['inputs']) * get_world_size()
        seen += images
        if seen + images > max_images:
            break
    for norm in norms:
        norm.momentum = momentum
        if get_world_size() > 1:
            for buffer in (norm.running_mean, norm.running_var):
                dist.all_reduce(buffer)
                buffer.div_(get_world_size())
    model.train(training)


@HOOKS.register_module()
class NetAugHook(Hook):
    """Draws an augmented network for each step, sorts channels, and mends statistics before evaluation.

    Widths and expansions are drawn, and the channels are sorted at the start of each epoch, until as many epochs remain
    as half of those after warm-up; from then on only expansions are drawn (NetAug paper, section 4.1). A step's draw
    depends on the run's seed and the step alone, so that all processes, and a resumed run, draw the same.

    Args:
        statistics_images: training images on which statistics are estimated before an evaluation.

    Raises:
        InputError: in training, with synchronised normalisation or an average of weights, which know of no
            sub-networks.
    """

    def __init__(self, statistics_images: int = 16000):
        self.statistics_images = statistics_images
        self.generator = torch.Generator()
        self.estimated_at = -1

    @staticmethod
    def _draws_widths(runner: Runner) -> bool:
        remaining = runner.max_epochs - runner.epoch
        return remaining > (runner.max_epochs - warmup_epochs(runner.cfg)) / 2

    def before_train(self, runner: Runner) -> None:
        if not isinstance(getattr(bare_model(runner), 'network', None), NetAug):
            raise InputError('NetAugHook without model.netaug, which has the widths to draw: expected both, or none')
        if any(isinstance(module, nn.SyncBatchNorm) for module in bare_model(runner).modules()):
            raise InputError(
                'sync_bn cannot normalise a part of the channels, as the sub-networks of NetAug have them: leave it '
                'out (statistics are averaged over processes before each evaluation)'
            )
        if (runner.cfg.get('randomness') or {}).get('diff_rank_seed'):
            raise InputError(
                'processes with seeds of their own (randomness.diff_rank_seed) would draw different networks: leave it '
                'out, images are augmented differently in each without it'
            )
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise InputError(
                'an average of weights (EMAHook) would mix channels that NetAug sorts anew: leave it out of a config '
                'with NetAug'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        resumed_within = getattr(runner.train_loop, 'done', 0)  # the epoch's channels are sorted already
        if self._draws_widths(runner) and not resumed_within:
            bare_model(runner).network.sort_channels(runner.optim_wrapper.optimizer)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        model = bare_model(runner)
        self.generator.manual_seed(derived_seed(runner.seed, runner.iter))
        model.augmented = model.network.sample(self.generator, width=self._draws_widths(runner))
        model.network.set_base()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # The state dict was taken before a validation: the weights can be resumed from, but not judged as they are.
        fit = self.estimated_at == runner.iter
        checkpoint.setdefault('mmnetaug', {}).update(supernet=True, statistics_of_base_network=fit)

    def before_val_epoch(self, runner: Runner) -> None:
        if self.estimated_at != runner.iter:
            sampler = runner.train_dataloader.sampler
            if hasattr(sampler, 'set_epoch'):  # the same images and draws, whenever this run was resumed
                sampler.set_epoch(runner.epoch)
            estimate_norm_statistics(bare_model(runner), runner.train_dataloader, self.statistics_images)
            self.estimated_at = runner.iter

    def before_test_epoch(self, runner: Runner) -> None:
        self.before_val_epoch(runner)
