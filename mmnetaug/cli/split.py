"""Say which images of a folder in VOC layout are trained on and which are tested on, where nothing says it yet.

Writes ImageSets/Main/trainval.txt and test.txt, the same ones whenever and wherever it runs.
"""

import argparse
from pathlib import Path

from mmnetaug.cli.arguments import new_parser


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug split data/mine')
    parser.add_argument('data_root', metavar='DIR', help='folder with Annotations and JPEGImages')
    parser.add_argument('--test', type=float, default=0.2, help='share of images to test on')
    parser.add_argument('--seed', type=int, default=0, help='for another split')
    return parser


def main(args: argparse.Namespace) -> None:
    from mmnetaug.datasets.preparation.split import split_voc

    for file, names in split_voc(args.data_root, args.test, args.seed).items():
        print(f'{Path(args.data_root, "ImageSets", "Main", file)}: {len(names)} images')
