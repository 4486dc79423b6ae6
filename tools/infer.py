"""Draw what a detector finds on an image, or on each image of a folder."""

import argparse

from mmnetaug.detection import infer
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', help='an image or a folder of images')
    parser.add_argument('--checkpoint', required=True, help='the export.pth that tools/train.py wrote')
    parser.add_argument('--score-thr', type=float, default=0.3, help='least score of a box that is drawn')
    parser.add_argument('--out-dir', default='work_dirs/infer')
    args = parser.parse_args()
    pictures = infer(args.images, args.checkpoint, args.out_dir, args.score_thr)
    print(f'{len(pictures)} pictures with boxes in {pictures[0].parent}')


if __name__ == '__main__':
    run_tool(main)
