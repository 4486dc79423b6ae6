"""Evaluate a trained detector, or the accuracy of a classifier."""

import argparse

from mmnetaug.cli.arguments import (
    add_data_arguments,
    add_run_arguments,
    add_size_argument,
    data_files,
    given_size,
    import_given,
    new_parser,
)
from mmnetaug.config_files import find_config, is_config
from mmnetaug.errors import InputError


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug test work_dirs/run/export.pth --data-root data/VOCdevkit',
        '[options] [CONFIG] CHECKPOINT',
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help='an export.pth or epoch_N.pth of mmnetaug train, or an .onnx or .tflite of mmnetaug export, which brings '
        'network, image size, classes and data; before it perhaps a config (a path, or the name of a file of '
        'configs/det), for its data. Or a classifier of mmnetaug pretrain or of another library',
    )
    add_data_arguments(parser, train=False, more='; of a classifier, with val/CLASS/*.jpg')
    add_size_argument(parser, 'another side of the images in pixels, or width and height, where the detector bears it')
    parser.add_argument('--out', help='JSON file for the result')
    add_run_arguments(parser, training=False)
    return parser


def main(args: argparse.Namespace) -> None:
    *configs, checkpoint = args.files
    if len(configs) > 1 or is_config(checkpoint):
        raise InputError(f'{" ".join(args.files)}: expected a checkpoint, or a config and a checkpoint')
    configs = [find_config(config, 'det') for config in configs]
    files = data_files(args)
    size = given_size(args)

    from mmengine.dist import is_main_process

    from mmnetaug.apis.accuracy import classifier_config, is_classifier, test_classifier
    from mmnetaug.apis.config import read_config
    from mmnetaug.apis.run_config import finish_run_config
    from mmnetaug.apis.test import checkpoint_config, resize_test, set_test_data, test_detector
    from mmnetaug.apis.train import summary
    from mmnetaug.records import RESULT_VERSION, write_json

    import_given(args)
    test = test_detector
    if not configs and is_classifier(checkpoint):
        if files:
            raise InputError(f'{checkpoint} is a classifier: expected --data-root DIR, with DIR/val/CLASS/*.jpg')
        config, test = classifier_config(checkpoint, args.data_root, size), test_classifier
    else:
        config = checkpoint_config(checkpoint, read_config(configs[0], 'det') if configs else None)
        set_test_data(config, args.data_root, files, args.allow_outside)
        if size is not None:
            resize_test(config, size)
    args.config = configs[0] if configs else 'test'
    finish_run_config(config, args)
    result = test(config, checkpoint)
    if is_main_process():
        print(summary(result))
        if args.out:
            write_json(args.out, {'version': RESULT_VERSION, **result})
