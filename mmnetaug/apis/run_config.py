"""From parsed arguments to a complete config: what the commands on MMEngine's runner have in common."""

import argparse
from pathlib import Path

from mmengine.config import Config

from mmnetaug.apis.config import custom_modules, import_custom, merge_cfg_options, read_config
from mmnetaug.apis.overrides import (
    batch_size_options,
    epochs_options,
    gray_options,
    padding_options,
    patience_options,
    worker_options,
)
from mmnetaug.engine.training_config import check_training


def read_run_config(args: argparse.Namespace, kind: str) -> Config:
    """The config that ``args`` names, with the modules that it needs; ``kind`` as in
    :func:`~mmnetaug.apis.config.read_config`.

    Raises:
        InputError: see there, and :func:`~mmnetaug.engine.training_config.check_training`.
    """
    import_custom(args.custom_imports)
    config = read_config(args.config, kind)
    check_training(config)
    if args.custom_imports:  # noted, so that the config of the run is complete
        config.custom_imports = {'imports': [*custom_modules(config), *args.custom_imports]}
    return config


def finish_run_config(config: Config, args: argparse.Namespace) -> None:
    """Merge the options of :func:`~mmnetaug.cli.arguments.add_run_arguments`, last of all ``--cfg-options``."""
    if hasattr(args, 'epochs'):
        if args.lr is not None:
            config.merge_from_dict({'optim_wrapper.optimizer.lr': args.lr})
        if args.batch_size is not None:
            config.merge_from_dict(batch_size_options(config, args.batch_size))
        if args.seed is not None:
            config.merge_from_dict({'randomness.seed': args.seed})
        if args.amp:
            config.merge_from_dict({'optim_wrapper.type': 'AmpOptimWrapper'})
        if args.safetensors:
            config.merge_from_dict({'export_safetensors': True})
        if args.padding is not None:
            config.merge_from_dict(padding_options(config, args.padding))
        if args.gray:
            config.merge_from_dict(gray_options(config))
        if args.checkpoint_interval is not None:
            config.merge_from_dict({'default_hooks.checkpoint.iterations': args.checkpoint_interval})
        if args.patience is not None:
            config.merge_from_dict(patience_options(args.patience))
        if args.epochs is not None:
            config.merge_from_dict(epochs_options(config, args.epochs))
    if args.workers is not None:
        config.merge_from_dict(worker_options(config, args.workers))
    merge_cfg_options(config, args.cfg_options)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher or config.get('launcher', 'none')
    config.resume = getattr(args, 'resume', False) or config.get('resume', False)
