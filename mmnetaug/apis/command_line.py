"""From the command line to a complete config: what the tools on MMEngine's runner have in common."""

import argparse
from pathlib import Path

from mmengine.config import Config

from mmnetaug.apis.config import import_custom, merge_cfg_options, read_config
from mmnetaug.apis.overrides import (
    checkpoint_options,
    common_options,
    epochs_options,
    gray_options,
    padding_options,
    patience_options,
    worker_options,
)
from mmnetaug.errors import InputError
from mmnetaug.models.networks.archs import PADDINGS


def given_path(text: str) -> str:
    """A path on the command line, which is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError('is empty: expected a path')
    return text


def add_run_arguments(parser: argparse.ArgumentParser, training: bool = True) -> None:
    """The options of all tools on MMEngine's runner, for :func:`read_run_config` and :func:`finish_run_config`."""
    parser.add_argument(
        '--work-dir',
        type=given_path,
        help="where checkpoints and logs go (default: the config's work_dir, or work_dirs/NAME by the config's name)",
    )
    if training:
        parser.add_argument('--arch', help='another network, such as mobilenetv2_w0.5')
        parser.add_argument(
            '--padding',
            choices=PADDINGS,
            help="of the network's convolutions of stride 2: all around (symmetric, the default), or right and bottom "
            'first (tf), as Keras trained its weights; TFLite then copies no maps, and needs less memory',
        )
        parser.add_argument(
            '--gray', action='store_true', help='images of one channel; pretrained stems are summed over colour'
        )
        parser.add_argument('--epochs', type=int, help='another length of training, warm-up included')
        parser.add_argument('--batch-size', type=int, help='images per device; the learning rate follows')
        parser.add_argument('--seed', type=int, help="of all randomness (default: the config's, 0)")
        parser.add_argument('--resume', action='store_true', help='continue the run in the work directory')
        parser.add_argument(
            '--checkpoint-interval', type=int, metavar='N', help='also save every N iterations, within an epoch'
        )
        parser.add_argument(
            '--patience',
            type=int,
            metavar='N',
            help='stop after N validations without a better result (default: never)',
        )
        parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
        parser.add_argument('--safetensors', action='store_true', help='write export.safetensors beside export.pth')
    parser.add_argument('--workers', type=int, help='processes that load data (default: as in the config)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change any value of the config, such as optim_wrapper.optimizer.weight_decay=1e-4; comes last',
    )
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], metavar='MODULE', help='Python modules that register your own parts'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_size_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """``--size`` of detection, for :func:`given_size`."""
    parser.add_argument('--size', type=int, nargs='+', metavar='PIXELS', help=text)


def given_size(args: argparse.Namespace) -> int | tuple[int, ...]:
    """What ``--size`` says: a side, or width and height.

    Raises:
        InputError: more numbers.
    """
    if len(args.size) > 2:
        raise InputError(f'--size {" ".join(map(str, args.size))}: expected one side, or width and height')
    return args.size[0] if len(args.size) == 1 else tuple(args.size)


def add_data_arguments(parser: argparse.ArgumentParser, train: bool = True) -> None:
    """The options that say which detection data; see :func:`data_files`."""
    parser.add_argument('--data-root', type=given_path, help='folder in VOC, COCO or YOLO layout')
    for purpose, verb in [('train', 'train on'), ('test', 'test on')] if train else [('test', 'test on')]:
        parser.add_argument(
            f'--{purpose}-ann',
            type=given_path,
            metavar='PATH',
            help=f'annotations to {verb}, in place of --data-root: a JSON file (COCO), or a folder of XML files (VOC)',
        )
        parser.add_argument(
            f'--{purpose}-img', type=given_path, metavar='DIR', help='their images (default: beside them)'
        )
    parser.add_argument(
        '--allow-outside', action='store_true', help='read images outside the data folder, if annotations name them'
    )


def data_files(args: argparse.Namespace) -> dict[str, tuple[str, str | None]]:
    """Purpose -> annotations and their images, as the options of :func:`add_data_arguments` name them.

    Raises:
        InputError: images without annotations, or both ways to name data.
    """
    files = {}
    for purpose in ('train', 'test'):
        annotations, images = getattr(args, f'{purpose}_ann', None), getattr(args, f'{purpose}_img', None)
        if images and not annotations:
            raise InputError(f'--{purpose}-img without --{purpose}-ann: expected both, or --data-root')
        if annotations:
            files[purpose] = (annotations, images)
    if files and args.data_root:
        raise InputError(f'--data-root and --{next(iter(files))}-ann both name data: expected one of them')
    return files


def read_run_config(args: argparse.Namespace, kind: str) -> Config:
    """The config that ``args`` names, with the modules that it needs; ``kind`` as in
    :func:`~mmnetaug.apis.config.read_config`."""
    import_custom(args.custom_imports)
    config = read_config(args.config, kind)
    if args.custom_imports:  # noted, so that the config of the run is complete
        given = (config.get('custom_imports') or {}).get('imports') or []
        given = [given] if isinstance(given, str) else given
        config.custom_imports = {'imports': [*given, *args.custom_imports]}
    return config


def finish_run_config(config: Config, args: argparse.Namespace) -> None:
    """Merge the options of :func:`add_run_arguments` into a config, and last of all ``--cfg-options``."""
    if hasattr(args, 'epochs'):
        config.merge_from_dict(common_options(args))
        if args.padding is not None:
            config.merge_from_dict(padding_options(config, args.padding))
        if args.gray:
            config.merge_from_dict(gray_options(config))
        if args.checkpoint_interval is not None:
            config.merge_from_dict(checkpoint_options(args.checkpoint_interval))
        if args.patience is not None:
            config.merge_from_dict(patience_options(config, args.patience))
        if args.epochs is not None:
            config.merge_from_dict(epochs_options(config, args.epochs))
    if args.workers is not None:
        config.merge_from_dict(worker_options(config, args.workers))
    merge_cfg_options(config, args.cfg_options)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher
    config.resume = getattr(args, 'resume', False)
