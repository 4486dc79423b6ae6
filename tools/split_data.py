"""Say which images of a folder in VOC layout are trained on and which are tested on, where nothing says it yet.

Writes ImageSets/Main/trainval.txt and test.txt, the same ones whenever and wherever it runs.
"""

import argparse
from pathlib import Path

from mmnetaug.datasets.preparation.split import split_voc
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog='Example: python tools/split_data.py data/mine')
    parser.add_argument('data_root', metavar='DIR', help='folder with Annotations and JPEGImages')
    parser.add_argument('--test', type=float, default=0.2, help='share of images to test on (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='for another split (default: %(default)s)')
    args = parser.parse_args()

    for file, names in split_voc(args.data_root, args.test, args.seed).items():
        print(f'{Path(args.data_root, "ImageSets", "Main", file)}: {len(names)} images')


if __name__ == '__main__':
    run_tool(main)
