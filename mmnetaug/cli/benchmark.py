"""Compare detectors, in PyTorch or exported: AP, MACs, parameters, CPU latency as table, JSON, CSV and pictures."""

import argparse
from pathlib import Path

from mmnetaug.cli.arguments import add_custom_imports, add_data_arguments, data_files, import_given, new_parser
from mmnetaug.config_files import find_config, is_config
from mmnetaug.errors import InputError, check_names


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug benchmark work_dirs/ssdlite_*/export.pth --data-root data/VOCdevkit',
        '[options] [CONFIG] CHECKPOINT ...',
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help='export.pth or epoch_N.pth files of mmnetaug train, .onnx or .tflite files of mmnetaug export; before '
        'them perhaps a config (a path, or the name of a file of configs/det), for its data (default: those that each '
        'detector was tested on in training)',
    )
    parser.add_argument(
        '--names', nargs='+', help='of the detectors (default: their folders; of exported files with the file names)'
    )
    add_data_arguments(parser, train=False)
    parser.add_argument('--out', default='work_dirs/benchmark', help='folder for table, JSON, CSV and pictures')
    add_custom_imports(parser)
    parser.parse_args = parser.parse_intermixed_args  # options may stand between the files
    return parser


def main(args: argparse.Namespace) -> None:
    configs = [path for path in args.files if is_config(path)]
    checkpoints = [path for path in args.files if path not in configs]
    if len(configs) > 1 or not checkpoints:
        raise InputError(f'{" ".join(args.files)}: expected at most one config, and checkpoints')
    configs = [find_config(config, 'det') for config in configs]
    names = args.names or checkpoint_names([Path(checkpoint).resolve() for checkpoint in checkpoints])
    check_names(names, checkpoints)
    files = data_files(args)

    from mmnetaug.apis.benchmark import benchmark, markdown_table
    from mmnetaug.apis.config import read_config
    from mmnetaug.engine.console import show_plainly

    show_plainly()
    import_given(args)
    config = read_config(configs[0], 'det') if configs else None
    rows = benchmark(checkpoints, names, args.out, config, args.data_root, files, args.allow_outside)
    print(f'{markdown_table(rows)}\nTable, JSON, CSV and pictures (of AP50, where it was measured) are in {args.out}')


def checkpoint_names(paths: list[Path]) -> list[str]:
    """Folders of checkpoints, of exported files with their names; more of the paths where these are not different."""
    names = [
        path.parent.name if path.suffix in ('.pth', '.safetensors') else '/'.join(path.parts[-2:]) for path in paths
    ]
    for parts in range(2, max(len(path.parts) for path in paths) + 1):
        if len(set(names)) == len(names):
            break
        names = ['/'.join(path.parts[-parts:]) for path in paths]
    return names
