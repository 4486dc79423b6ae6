"""Draw learning curves out of the logs of runs; runs of one series are seeds: mean and range are drawn."""

import argparse
from pathlib import Path

from mmnetaug.cli.arguments import new_parser
from mmnetaug.errors import InputError


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug plot-curves baseline=work_dirs/a_s0,work_dirs/a_s1 NetAug=work_dirs/b_s0',
        'NAME=DIR[,DIR] ... [options]',
    )
    parser.add_argument('series', nargs='+', metavar='SERIES', help='name of a series and its work directories')
    parser.add_argument('--key', default='top1', help='what to draw: top1, train_top1, loss_base, AP50_area ...')
    parser.add_argument('--ylabel', help='with the unit (default: the key)')
    parser.add_argument('--out', default='work_dirs/curves.png', help='PNG or SVG')
    parser.parse_args = parser.parse_intermixed_args  # options may stand between the series
    return parser


def main(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.suffix.lower() not in ('.png', '.svg', '.pdf', '.jpg', '.webp'):
        raise InputError(f'--out {out}: expected a name that ends in .png, .svg, .pdf, .jpg or .webp')

    for series in args.series:
        if not series.partition('=')[2]:
            raise InputError(f'{series}: expected NAME=DIR, with the folders of several seeds NAME=DIR,DIR')

    from mmnetaug.engine.history import read_history
    from mmnetaug.visualization import plot_curves

    runs = {}
    for series in args.series:
        name, _, folders = series.partition('=')
        for folder in folders.split(','):
            runs.setdefault(name, []).append(read_history(folder, args.key))
            if not runs[name][-1]:
                raise InputError(
                    f'no {args.key} in the logs of {folder or series!r}: expected NAME=DIR with a work directory of '
                    'mmnetaug pretrain, or of mmnetaug train and --key AP50_area (COCO layout: --key coco/AP)'
                )
    print(plot_curves(runs, out, args.ylabel or args.key))
