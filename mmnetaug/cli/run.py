"""``mmnetaug COMMAND ...``: finds the module of a command, parses, and runs it."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from mmnetaug import __version__, compat
from mmnetaug.cli.arguments import HelpFormatter
from mmnetaug.config_files import did_you_mean
from mmnetaug.errors import InputError, run_tool

# Command -> what it does. Its module has the same name, with _ for -.
COMMANDS = {
    'check': 'what is missing or malformed in your detection data',
    'split': 'choose the images to test on, where nothing says it yet',
    'fit': 'which detectors fit a microcontroller, before any is trained',
    'train': 'train a detector',
    'test': 'AP of a trained detector, or accuracy of a classifier',
    'infer': 'draw what a detector finds on images or a video',
    'export': 'ONNX, TFLite or C of a trained network',
    'benchmark': 'detectors side by side: AP, MACs, memory, latency',
    'evaluate-boxes': 'AP of boxes that another detector found',
    'pretrain': 'pretrain a network on class folders, with or without NetAug',
    'convert-weights': 'weights of other libraries as an export for --pretrained',
    'figures': 'figures 1, 3, 4 and 5 of the paper on your own data',
    'plot-curves': 'learning curves out of the logs of runs',
    'make-data': 'drawn or composed data sets, to try things out',
    'speed': 'images per second of training and of inference here',
}
# Beginnings of what MMEngine, MMDetection and PyTorch warn of, and a user can do nothing about.
EXPECTED_WARNINGS = (
    'Setting (OMP|MKL)_NUM_THREADS',
    '`broadcast_buffers` is deprecated',
    'Grad strides do not match bucket view strides',  # of depthwise convolutions, where they are not unique
    'DeprecationWarning: `num_anchors` is deprecated',
    'torch.meshgrid: in an upcoming release',
    'This DataLoader will create',  # more processes than cores
)


def main(argv: Sequence[str] | None = None) -> None:
    """The installed command; ``argv`` as ``sys.argv[1:]``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        run_command(arguments[0], arguments[1:], f'mmnetaug {arguments[0]}')
    else:
        run_tool(lambda: _no_command(arguments))


def run_command(name: str, arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run one command, as ``tools/*.py`` do.

    Args:
        name: a key of ``COMMANDS``.
        arguments: behind it; None: those of this process.
        prog: how help calls it; None: by the script.
    """
    module = import_module(f'mmnetaug.cli.{name.replace("-", "_")}')

    def run() -> None:
        args = module.parser(prog).parse_args(arguments)
        try:
            compat.check_installed()
        except ImportError as error:
            raise InputError(str(error)) from error
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings('ignore', message)
        module.main(args)

    run_tool(run)


def _no_command(arguments: Sequence[str]) -> None:
    width = max(map(len, COMMANDS))
    table = '\n'.join(f'  {name:{width}}  {text}' for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog='mmnetaug',
        usage='mmnetaug COMMAND ...',
        description='Network Augmentation (NetAug) for tiny object detectors, on MMDetection.',
        epilog=f'commands:\n{table}\n\nmmnetaug COMMAND --help says what each takes.',
        formatter_class=type('TableFormatter', (HelpFormatter, argparse.RawDescriptionHelpFormatter), {}),
    )
    parser.add_argument('--version', action='version', version=f'mmnetaug {__version__}')
    parser.add_argument('command', nargs='?', help=argparse.SUPPRESS)
    command = parser.parse_known_args(arguments)[0].command
    if command is None:
        parser.print_help()
        sys.exit(0 if not arguments else 2)
    if arguments[0] != command and (named := next((word for word in arguments if word in COMMANDS), None)):
        parser.error(f'options follow the command: mmnetaug {named} ... {arguments[0]}')
    meant = did_you_mean(command, COMMANDS) or f': expected one of {", ".join(COMMANDS)}'
    parser.error(f'no command {command}{meant}')
