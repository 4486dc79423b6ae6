"""Say what is missing or malformed in a detection data set; exit status 0: nothing, 1: something, 2: unusable."""

import argparse
import sys

from mmnetaug.apis.command_line import add_data_arguments, data_files
from mmnetaug.datasets.preparation.check import check_detection_data, describe_check
from mmnetaug.errors import InputError, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog='Example: python tools/check_data.py data/VOCdevkit')
    parser.add_argument('folder', nargs='?', metavar='DIR', help='folder in VOC, COCO or YOLO layout')
    add_data_arguments(parser)
    parser.add_argument('--classes', nargs='+', help='only these classes')
    parser.add_argument('--size', type=int, default=320, help='side of the images in pixels (default: %(default)s)')
    args = parser.parse_args()

    args.data_root = args.folder or args.data_root
    files = data_files(args)
    if not args.data_root and not files:
        raise InputError('no data named: expected a folder, or --train-ann and --test-ann')
    report = check_detection_data(args.data_root, args.classes, args.size, files, args.allow_outside)
    print(describe_check(report))
    sys.exit(1 if report['findings'] else 0)


if __name__ == '__main__':
    run_tool(main)
