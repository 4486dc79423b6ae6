"""Evaluate boxes that any other detector found, by the same measures and on the same images as mmnetaug test."""

import argparse

from mmnetaug.cli.arguments import add_data_arguments, data_files, new_parser
from mmnetaug.errors import InputError


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog, __doc__, 'mmnetaug evaluate-boxes boxes.json --data-root data/VOCdevkit --classes cat dog person'
    )
    parser.add_argument(
        'boxes', help='JSON file: {"IMAGE.jpg": [[x1, y1, x2, y2, score, "class"], ...], ...}, in pixels of the image'
    )
    add_data_arguments(parser, train=False)
    parser.add_argument('--classes', nargs='+', help="classes to test on (default: all of the data's)")
    parser.add_argument('--out', help='JSON file for the result')
    return parser


def main(args: argparse.Namespace) -> None:
    files = data_files(args)
    if not args.data_root and not files:
        raise InputError('no data named: expected --data-root, or --test-ann')

    from mmnetaug.apis.boxes import evaluate_boxes, read_boxes
    from mmnetaug.apis.train import summary
    from mmnetaug.engine.console import show_plainly
    from mmnetaug.records import RESULT_VERSION, write_json

    show_plainly()
    result = evaluate_boxes(read_boxes(args.boxes), args.data_root, args.classes, files, args.allow_outside)
    print(f'{summary(result)}; {result["boxes"]} boxes in {result["images"]} images')
    if args.out:
        write_json(args.out, {'version': RESULT_VERSION, **result})
