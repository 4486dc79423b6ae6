"""Say which images of a folder are trained on and which are tested on, where nothing says it yet.

In VOC layout it writes ImageSets/Main/trainval.txt and test.txt; of images in one folder a class it makes a folder with
train and val, of links. The split is the same whenever and wherever it runs.
"""

import argparse
from pathlib import Path

from mmnetaug.cli.arguments import given_path, new_parser


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug split data/mine')
    parser.add_argument(
        'data_root', metavar='DIR', help='folder with Annotations and JPEGImages, or with one folder a class'
    )
    parser.add_argument('--out', type=given_path, help='folder to make, of images in one folder a class')
    parser.add_argument('--test', type=float, default=0.2, help='share of images to test on')
    parser.add_argument('--seed', type=int, default=0, help='for another split')
    return parser


def main(args: argparse.Namespace) -> None:
    from mmnetaug.datasets.preparation.split import split_folders, split_voc

    if args.out:
        for part, number in split_folders(args.data_root, args.out, args.test, args.seed).items():
            print(f'{Path(args.out, part)}: {number} images')
        return
    for file, names in split_voc(args.data_root, args.test, args.seed).items():
        print(f'{Path(args.data_root, "ImageSets", "Main", file)}: {len(names)} images')
