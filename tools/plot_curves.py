"""Draw learning curves out of the logs of runs; runs of one series are seeds: mean and range are drawn."""

import argparse
from pathlib import Path

from mmnetaug.engine.history import read_history
from mmnetaug.errors import InputError, run_tool
from mmnetaug.visualization import plot_curves


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/plot_curves.py baseline=work_dirs/a_s0,work_dirs/a_s1 NetAug=work_dirs/b_s0',
    )
    parser.add_argument('series', nargs='+', metavar='NAME=DIR[,DIR]', help='name of a series and its work directories')
    parser.add_argument('--key', default='top1', help='what to draw: top1, train_top1, loss_base, AP50_area ...')
    parser.add_argument('--ylabel', help='with the unit (default: the key)')
    parser.add_argument('--out', default='work_dirs/curves.png', help='PNG or SVG (default: %(default)s)')
    args = parser.parse_args()

    runs = {}
    for series in args.series:
        name, _, folders = series.partition('=')
        runs[name] = [read_history(folder, args.key) for folder in folders.split(',')]
        for folder, history in zip(folders.split(','), runs[name]):
            if not history:
                raise InputError(
                    f'no {args.key} in the logs of {folder or series!r}: expected NAME=DIR with a work directory of '
                    'tools/pretrain_cls.py or tools/train.py'
                )
    print(plot_curves(runs, Path(args.out), args.ylabel or args.key))


if __name__ == '__main__':
    run_tool(main)
