"""From parsed arguments to a complete config: what the commands on MMEngine's runner have in common."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

# Option -> what its value changes of a config; in this order.
OPTIONS: dict[str, Callable[[Config, Any], dict[str, Any]]] = {
    'lr': lambda _, rate: {'optim_wrapper.optimizer.lr': rate},
    'batch_size': batch_size_options,
    'seed': lambda _, seed: {'randomness.seed': seed},
    'amp': lambda *_: {'optim_wrapper.type': 'AmpOptimWrapper'},
    'safetensors': lambda *_: {'export_safetensors': True},
    'padding': padding_options,
    'gray': lambda config, _: gray_options(config),
    'checkpoint_interval': lambda _, steps: {'default_hooks.checkpoint.iterations': steps},
    'patience': lambda _, validations: patience_options(validations),
    'epochs': epochs_options,
    'workers': worker_options,
}


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
    for name, changes in OPTIONS.items():
        value = getattr(args, name, None)
        if value is not None and value is not False:
            config.merge_from_dict(changes(config, value))
    merge_cfg_options(config, args.cfg_options)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher or config.get('launcher', 'none')
    config.resume = getattr(args, 'resume', False) or config.get('resume', False)
