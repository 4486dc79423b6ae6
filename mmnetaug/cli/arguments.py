"""Arguments that several commands share, without PyTorch; :mod:`mmnetaug.apis.run_config` makes a config of them."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from mmnetaug.archs import FAMILIES, NETWORKS, PADDINGS, get_arch
from mmnetaug.config_files import did_you_mean, is_ours
from mmnetaug.errors import InputError

NETWORK_HELP = (
    f'another network: {", ".join(sorted(NETWORKS))}, or with a width multiplier such as '
    f"{', '.join(f'{family}_w0.5' for family in sorted(FAMILIES))} (default: the config's)"
)


class HelpFormatter(argparse.HelpFormatter):
    """Help that names the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or '', action.default
        if 'default' in text or default is None or isinstance(default, bool) or default in ([], argparse.SUPPRESS):
            return text
        shown = ' '.join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
        return f'{text} (default: {shown})'.replace('%', '%%') if '%' not in text else f'{text} (default: %(default)s)'


class ArgumentParser(argparse.ArgumentParser):
    """One that says what to type instead, and whose subcommands' help is :class:`HelpFormatter`'s, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{'formatter_class': HelpFormatter, **options})

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        self.typed = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r'unrecognized arguments: --([^\s=]+)', message)
        missing = re.fullmatch(r'the following arguments are required: (\w+)', message)
        if unknown:
            subparsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
            parsers = [self, *(parser for action in subparsers for parser in action.choices.values())]
            options = {
                name[2:] for parser in parsers for name in parser._option_string_actions if name.startswith('--')
            }
            message += did_you_mean(unknown[1], options, '--')
        elif missing and any(word.startswith('--') for word in self.typed):
            place = f'{self.prog} {missing[1].upper()} ...'
            message += f': put it first ({place}), as an option of several values takes all that follow'
        super().error(message)


def new_parser(
    prog: str | None, description: str, example: str, usage: str | None = None, more: str = ''
) -> argparse.ArgumentParser:
    """The parser of a command.

    Args:
        prog: how help calls it; None: by the script.
        description: what it does.
        example: of what to type.
        usage: behind the name; None: from the arguments.
        more: follows the example.
    """
    return ArgumentParser(
        prog=prog,
        description=description,
        usage=usage and f'%(prog)s {usage}',
        epilog=f'Example: {example}{f". {more}" if more else ""}',
    )


def whole(least: int) -> Callable[[str], int]:
    """Of a whole number on the command line that is not below ``least``."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f'{text}: expected a whole number of at least {least}')
        return value

    return number


def above_zero(text: str) -> float:
    """A finite number above 0 on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text}: expected a number above 0')
    return value


def given_path(text: str) -> str:
    """A path on the command line, which is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError('is empty: expected a path')
    return text


def add_run_arguments(parser: argparse.ArgumentParser, training: bool = True) -> None:
    """The options of all tools on MMEngine's runner, for
    :mod:`mmnetaug.apis.run_config`."""
    parser.add_argument(
        '--work-dir',
        type=given_path,
        help="where checkpoints and logs go (default: the config's work_dir, or work_dirs/NAME by the config's name)",
    )
    if training:
        parser.add_argument('--arch', help=NETWORK_HELP)
        parser.add_argument(
            '--padding',
            choices=PADDINGS,
            help="of the network's convolutions of stride 2: all around (symmetric, the default), or right and bottom "
            'first (tf), as Keras trained its weights; TFLite then copies no maps, and needs less memory',
        )
        parser.add_argument(
            '--gray', action='store_true', help='images of one channel; pretrained stems are summed over colour'
        )
        parser.add_argument(
            '--epochs', type=whole(1), help="length of training, warm-up included (default: the config's)"
        )
        parser.add_argument(
            '--batch-size', type=whole(2), help="images per device; the learning rate follows (default: the config's)"
        )
        parser.add_argument(
            '--lr',
            type=above_zero,
            help="learning rate for the config's auto_scale_lr.base_batch_size images (default: the config's)",
        )
        parser.add_argument('--seed', type=whole(0), help="of all randomness (default: the config's, 0)")
        parser.add_argument('--resume', action='store_true', help='continue the run in the work directory')
        parser.add_argument(
            '--checkpoint-interval', type=whole(1), metavar='N', help='also save every N iterations, within an epoch'
        )
        parser.add_argument(
            '--patience',
            type=whole(1),
            metavar='N',
            help='stop after N validations without a better result (default: never)',
        )
        parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
        parser.add_argument('--safetensors', action='store_true', help='write export.safetensors beside export.pth')
    parser.add_argument('--workers', type=whole(0), help='processes that load data (default: as in the config)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change any value of the config, such as optim_wrapper.optimizer.weight_decay=1e-4; comes last',
    )
    add_custom_imports(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help="what starts several processes (default: the config's, or none)",
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_custom_imports(parser: argparse.ArgumentParser) -> None:
    """``--custom-imports``, for :func:`~mmnetaug.apis.config.import_custom`."""
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], metavar='MODULE', help='Python modules that register your own parts'
    )


def import_given(args: argparse.Namespace) -> None:
    """Import what ``--custom-imports`` names; training notes it in its config as well."""
    if args.custom_imports:
        from mmnetaug.apis.config import import_custom

        import_custom(args.custom_imports)


def check_arch(args: argparse.Namespace) -> None:
    """Raise :class:`InputError` at once for an ``--arch`` that nobody can know: no module of a user is to be imported
    first."""
    if args.arch is not None and not args.custom_imports and is_ours(args.config):
        get_arch(args.arch)


def add_size_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """``--size`` of detection, for :func:`given_size`."""
    parser.add_argument('--size', type=int, nargs='+', metavar='PIXELS', help=text)


def given_size(args: argparse.Namespace) -> int | tuple[int, ...] | None:
    """What ``--size`` says: a side, or width and height; None where it is not given.

    Raises:
        InputError: more numbers.
    """
    if args.size is None:
        return None
    if len(args.size) > 2:
        raise InputError(f'--size {" ".join(map(str, args.size))}: expected one side, or width and height')
    return args.size[0] if len(args.size) == 1 else tuple(args.size)


def add_data_arguments(parser: argparse.ArgumentParser, train: bool = True, more: str = '') -> None:
    """The options that say which detection data; see :func:`data_files`. ``more``: of what else the folder may be."""
    parser.add_argument('--data-root', type=given_path, help=f'folder in VOC, COCO or YOLO layout{more}')
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
