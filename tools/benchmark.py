"""Compare detectors: AP, MACs, parameters and CPU latency as a table, JSON, CSV and a picture."""

import argparse
from pathlib import Path

from mmnetaug.engine.runtime import read_config
from mmnetaug.errors import InputError, run_tool
from mmnetaug.evaluation.benchmark import benchmark, markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/benchmark.py configs/det/ssdlite_netaug_voc.py work_dirs/ssdlite_*/export.pth',
    )
    parser.add_argument('config', help='a file of configs/det, for its data set')
    parser.add_argument('checkpoints', nargs='+', help='export.pth files that tools/train.py wrote')
    parser.add_argument('--names', nargs='+', help='of the detectors (default: the folders of the checkpoints)')
    parser.add_argument('--data-root', help='folder in VOC or COCO layout')
    parser.add_argument('--out', default='work_dirs/benchmark', help='folder for table, JSON, CSV and picture')
    args = parser.parse_args()

    names = args.names or [Path(checkpoint).resolve().parent.name for checkpoint in args.checkpoints]
    if len(names) != len(args.checkpoints):
        raise InputError(f'{len(names)} names for {len(args.checkpoints)} checkpoints: expected one for each')
    config = read_config(args.config, 'det', {'data_root': args.data_root} if args.data_root else None)
    rows = benchmark(config, args.checkpoints, names, args.out)
    print(f'{markdown_table(rows)}\nTable, JSON, CSV and picture are in {args.out}')


if __name__ == '__main__':
    run_tool(main)
