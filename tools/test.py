"""Evaluate a detector that tools/train.py trained."""

import argparse

from mmengine.dist import is_main_process

from mmnetaug.detection import summary, test_detector
from mmnetaug.engine.runtime import RESULT_VERSION, add_run_arguments, run_config, write_json
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/test.py configs/det/ssdlite_netaug_voc.py work_dirs/run/export.pth',
    )
    parser.add_argument('config', help="a file of configs/det; network, image size and classes are the checkpoint's")
    parser.add_argument('checkpoint', help='the export.pth that tools/train.py wrote')
    parser.add_argument('--data-root', help='folder in VOC or COCO layout')
    parser.add_argument('--size', type=int, help='another side of the images in pixels (YOLOv3 only)')
    parser.add_argument('--out', help='JSON file for the result')
    add_run_arguments(parser, training=False)
    args = parser.parse_args()

    config = run_config(args, 'det', {'data_root': args.data_root})
    result = test_detector(config, args.checkpoint, args.size)
    print(summary(result))
    if args.out and is_main_process():
        write_json(args.out, {'version': RESULT_VERSION, **result})


if __name__ == '__main__':
    run_tool(main)
