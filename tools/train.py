"""Train a detector on any folder in Pascal VOC, COCO or YOLO layout."""

import argparse
import shlex
import sys

from mmengine.dist import is_main_process

from mmnetaug.apis.command_line import (
    add_data_arguments,
    add_run_arguments,
    add_size_argument,
    data_files,
    finish_run_config,
    given_path,
    given_size,
    read_run_config,
)
from mmnetaug.apis.overrides import (
    arch_options,
    dataset_config,
    detection_data_options,
    detection_mixup_options,
    freeze_options,
    pretrained_options,
    size_options,
)
from mmnetaug.apis.train import summary, train_detector
from mmnetaug.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage='%(prog)s CONFIG [options]',
        epilog='Example: python tools/train.py configs/det/ssdlite_netaug_voc.py --data-root data/VOCdevkit. Every '
        'option changes values of the config, and can be written as --cfg-options or in a config of your own.',
    )
    parser.add_argument('config', help='a file of configs/det, or one like them')
    add_data_arguments(parser)
    parser.add_argument(
        '--pretrained',
        type=given_path,
        help="what the backbone starts from: 'imagenet' (public weights, fetched), 'netaug' or 'baseline' (of "
        "tools/pretrain_cls.py), a path, or 'none'",
    )
    add_size_argument(parser, 'side of the images in pixels, a multiple of 32; or width and height, padded to such')
    parser.add_argument('--classes', nargs='+', help='only these classes')
    parser.add_argument(
        '--mixup',
        action=argparse.BooleanOptionalAction,
        help='detection mixup, whatever the config says',
    )
    parser.add_argument(
        '--allow-overlap', action='store_true', help='do not refuse to test on images that are trained on'
    )
    parser.add_argument(
        '--freeze', type=int, metavar='N', help='do not train the stem of the backbone and its first N stages'
    )
    parser.add_argument('--lr', type=float, help="learning rate for the config's auto_scale_lr.base_batch_size images")
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = read_run_config(args, 'det')
    if args.arch is not None:
        config.merge_from_dict(arch_options(config, args.arch, pretrained=args.pretrained is None))
    if args.size is not None:
        config.merge_from_dict(size_options(config, given_size(args)))
    if args.pretrained is not None:
        config.merge_from_dict(pretrained_options(config, args.pretrained, config.model.backbone.get('arch')))
    if args.freeze is not None:
        config.merge_from_dict(freeze_options(config, args.freeze))
    files = data_files(args)
    if args.data_root or args.classes or files or args.allow_outside:
        data_root = args.data_root or dataset_config(config, 'train_dataloader').data_root
        options = detection_data_options(config, data_root, args.classes, files=files, allow_outside=args.allow_outside)
        config.merge_from_dict(options)
    if args.allow_overlap:
        config.merge_from_dict({'allow_overlap': True})
    if args.mixup is not None:
        config.merge_from_dict(detection_mixup_options(config, args.mixup))
    if args.lr is not None:
        config.merge_from_dict({'optim_wrapper.optimizer.lr': args.lr})
    finish_run_config(config, args)
    result = train_detector(config, shlex.join(['python', *sys.argv]))
    if is_main_process():
        print(f'{summary(result)}: {result["checkpoint"]}')


if __name__ == '__main__':
    run_tool(main)
