"""Compare detectors, in PyTorch or exported: AP, MACs, parameters, CPU latency as table, JSON, CSV and pictures."""

import argparse
from pathlib import Path

from mmnetaug.apis.benchmark import benchmark, markdown_table
from mmnetaug.apis.command_line import add_data_arguments, data_files
from mmnetaug.apis.config import import_custom, read_config
from mmnetaug.errors import InputError, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/benchmark.py work_dirs/ssdlite_*/export.pth --data-root data/VOCdevkit',
        usage='%(prog)s [options] [CONFIG] CHECKPOINT ...',
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='CONFIG CHECKPOINT',
        help='export.pth or epoch_N.pth files of tools/train.py, .onnx or .tflite files of tools/export.py; before '
        'them perhaps a file of configs/det, for its '
        'data (default: those that each detector was tested on in training)',
    )
    parser.add_argument(
        '--names', nargs='+', help='of the detectors (default: their folders; of artefacts with the file names)'
    )
    add_data_arguments(parser, train=False)
    parser.add_argument(
        '--out', default='work_dirs/benchmark', help='folder for table, JSON, CSV and picture (default: %(default)s)'
    )
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], metavar='MODULE', help='Python modules that register your own parts'
    )
    args = parser.parse_args()

    configs = [path for path in args.files if path.endswith('.py')]
    checkpoints = [path for path in args.files if path not in configs]
    if len(configs) > 1 or not checkpoints:
        raise InputError(f'{" ".join(args.files)}: expected at most one config, and checkpoints')
    names = args.names or [_name(Path(checkpoint).resolve()) for checkpoint in checkpoints]
    if len(names) != len(checkpoints):
        raise InputError(f'{len(names)} names for {len(checkpoints)} checkpoints: expected one for each')
    import_custom(args.custom_imports)
    config = read_config(configs[0], 'det') if configs else None
    rows = benchmark(checkpoints, names, args.out, config, args.data_root, data_files(args), args.allow_outside)
    print(f'{markdown_table(rows)}\nTable, JSON, CSV and picture are in {args.out}')


def _name(path: Path) -> str:
    return path.parent.name if path.suffix in ('.pth', '.safetensors') else f'{path.parent.name}/{path.name}'


if __name__ == '__main__':
    run_tool(main)
