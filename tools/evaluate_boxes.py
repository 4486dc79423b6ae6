"""Evaluate boxes that any other detector found, by the same measures and on the same images as tools/test.py."""

import argparse

from mmnetaug.apis.boxes import evaluate_boxes, read_boxes
from mmnetaug.apis.command_line import add_data_arguments, data_files
from mmnetaug.errors import run_tool
from mmnetaug.records import RESULT_VERSION, write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/evaluate_boxes.py boxes.json --data-root data/VOCdevkit --classes cat dog person',
    )
    parser.add_argument(
        'boxes', help='JSON file: {"IMAGE.jpg": [[x1, y1, x2, y2, score, "class"], ...], ...}, in pixels of the image'
    )
    add_data_arguments(parser, train=False)
    parser.add_argument('--classes', nargs='+', help="classes to test on (default: all of the data's)")
    parser.add_argument('--out', help='JSON file for the result')
    args = parser.parse_args()
    result = evaluate_boxes(read_boxes(args.boxes), args.data_root, args.classes, data_files(args))
    scores = ', '.join(f'{name} {value:.3f}' for name, value in result.items() if name.startswith('AP') and value)
    print(f'{scores}; {result["boxes"]} boxes in {result["images"]} images')
    if args.out:
        write_json(args.out, {'version': RESULT_VERSION, **result})


if __name__ == '__main__':
    run_tool(main)
