"""Say what is missing or malformed in a detection data set; exit status 0: all is well, 1: findings, 2: unusable."""

import argparse
import sys

from mmnetaug.cli.arguments import add_data_arguments, data_files, new_parser
from mmnetaug.errors import InputError


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug check data/VOCdevkit')
    parser.add_argument('folder', nargs='?', metavar='DIR', help='folder in VOC, COCO or YOLO layout')
    add_data_arguments(parser)
    parser.add_argument('--classes', nargs='+', help='only these classes (default: all)')
    parser.add_argument('--size', type=int, default=320, help='side of the images in pixels')
    return parser


def main(args: argparse.Namespace) -> None:
    if args.folder and args.data_root:
        raise InputError(f'{args.folder} and --data-root {args.data_root}: expected one folder')
    args.data_root = args.folder or args.data_root
    files = data_files(args)
    if not args.data_root and not files:
        raise InputError('no data named: expected a folder, or --train-ann and --test-ann')

    from mmnetaug.datasets.preparation.check import check_detection_data, describe_check

    report = check_detection_data(args.data_root, args.classes, args.size, files, args.allow_outside)
    print(describe_check(report))
    sys.exit(1 if report['findings'] else 0)
