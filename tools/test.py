"""Evaluate a detector that tools/train.py trained."""

import argparse

from mmengine.dist import is_main_process

from mmnetaug.apis.command_line import (
    add_data_arguments,
    add_run_arguments,
    add_size_argument,
    data_files,
    finish_run_config,
    given_size,
)
from mmnetaug.apis.config import import_custom, read_config
from mmnetaug.apis.test import checkpoint_config, resize_test, set_test_data, test_detector
from mmnetaug.apis.train import summary
from mmnetaug.errors import InputError, run_tool
from mmnetaug.records import RESULT_VERSION, write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/test.py work_dirs/run/export.pth --data-root data/VOCdevkit',
        usage='%(prog)s [options] [CONFIG] CHECKPOINT',
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='CONFIG CHECKPOINT',
        help='an export.pth or epoch_N.pth of tools/train.py, or an .onnx or .tflite of tools/export.py, which brings '
        'network, image size, classes and data; before it perhaps a file of configs/det, for its data',
    )
    add_data_arguments(parser, train=False)
    add_size_argument(parser, 'another side of the images in pixels, or width and height, where the detector bears it')
    parser.add_argument('--out', help='JSON file for the result')
    add_run_arguments(parser, training=False)
    args = parser.parse_args()
    *configs, checkpoint = args.files
    if len(configs) > 1 or checkpoint.endswith('.py'):
        raise InputError(f'{" ".join(args.files)}: expected a checkpoint, or a config and a checkpoint')

    import_custom(args.custom_imports)
    base = read_config(configs[0], 'det') if configs else None
    config = checkpoint_config(checkpoint, base)
    files = data_files(args)
    if args.data_root or files:
        set_test_data(config, args.data_root, files, args.allow_outside)
    if args.size is not None:
        resize_test(config, given_size(args))
    args.config = configs[0] if configs else 'test'
    finish_run_config(config, args)
    result = test_detector(config, checkpoint)
    print(summary(result))
    if args.out and is_main_process():
        write_json(args.out, {'version': RESULT_VERSION, **result})


if __name__ == '__main__':
    run_tool(main)
