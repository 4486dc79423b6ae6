"""Say what is missing or malformed in a detection data set; exit status 0: nothing, 1: something, 2: unusable."""

import argparse
import sys

from mmnetaug.datasets.preparation.check import check_detection_data, describe_check
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog='Example: python tools/check_data.py data/VOCdevkit')
    parser.add_argument('data_root', metavar='DIR', help='folder in VOC or COCO layout')
    parser.add_argument('--classes', nargs='+', help='only these classes')
    parser.add_argument('--size', type=int, default=320, help='side of the images in pixels (default: %(default)s)')
    args = parser.parse_args()

    report = check_detection_data(args.data_root, args.classes, args.size)
    print(describe_check(report))
    sys.exit(1 if report['findings'] else 0)


if __name__ == '__main__':
    run_tool(main)
