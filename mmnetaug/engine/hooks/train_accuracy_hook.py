"""Accuracies beside those of the validation set."""

import numpy as np
import torch
from mmengine.dataset import ConcatDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.datasets.samplers import data_sets
from mmnetaug.errors import check_whole
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class TrainAccuracyHook(Hook):
    """At each validation also measure accuracy on training images, as ``train_eval_top1`` in percent.

    The accuracy that training logs is on augmented images and with dropout. This one is of the network and the
    normalisation statistics that are validated, always on the same images, as validation prepares them: the gap
    between the two accuracies says how far the network over-fits (NetAug paper, figure 4).

    Args:
        images: how many, spread evenly over the training set; all where there are fewer, and 0 measures nothing.

    Raises:
        InputError: ``images`` is no such number.
    """

    priority = 'HIGHEST'  # before the metrics are logged

    def __init__(self, images: int = 10000):
        check_whole('images of TrainAccuracyHook', images, 0)
        self.images = images
        self.loader: torch.utils.data.DataLoader | None = None

    @torch.no_grad()
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not self.images:
            return
        if self.loader is None:
            trained = data_sets(runner.train_dataloader.dataset)
            share = min(1, self.images / sum(map(len, trained)))
            parts = []
            for part in trained:
                chosen = np.linspace(0, len(part) - 1, round(share * len(part)))
                parts.append(part.get_subset(chosen.round().astype(int).tolist()))
                parts[-1].pipeline = runner.val_dataloader.dataset.pipeline
            dataset = parts[0] if len(parts) == 1 else ConcatDataset(parts)
            self.loader = runner.build_dataloader({**runner.cfg.val_dataloader.to_dict(), 'dataset': dataset})
            self.evaluator = runner.build_evaluator(runner.cfg.val_evaluator)
        for batch in self.loader:
            self.evaluator.process(data_batch=batch, data_samples=runner.model.val_step(batch))
        found = self.evaluator.evaluate(len(self.loader.dataset))
        metrics.update({f'train_eval_{name}': value for name, value in found.items() if name == 'top1'})
