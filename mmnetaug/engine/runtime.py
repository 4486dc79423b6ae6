"""What training configs leave open because it follows from their other values or from the machine."""

import os

from mmengine.config import Config

from mmnetaug.errors import InputError


def fill_in_run(config: Config) -> None:
    """Fill in the lengths of the schedule and the number of workers.

    Args:
        config: with ``epochs``, ``warmup_epochs``, a warm-up and a cosine in ``param_scheduler``, ``train_cfg``,
            ``train_dataloader`` and ``val_dataloader``.

    Raises:
        InputError: ``epochs`` is out of range.
    """
    if not isinstance(config.epochs, int) or config.epochs < 1:
        raise InputError(f'epochs is {config.epochs!r}: expected a whole number of at least 1')
    config.warmup_epochs = min(config.warmup_epochs, config.epochs - 1)
    config.train_cfg.max_epochs = config.epochs
    warmup, cosine = config.param_scheduler
    warmup.end = cosine.begin = config.warmup_epochs
    cosine.end = config.epochs
    cosine.T_max = config.epochs - config.warmup_epochs
    if not config.warmup_epochs:
        config.param_scheduler = [cosine]
    for loader in (config.train_dataloader, config.val_dataloader):
        if loader.num_workers is None:
            loader.num_workers = min(8, os.cpu_count() or 1)
        loader.persistent_workers = loader.persistent_workers and loader.num_workers > 0
