"""Train a detector on any folder in Pascal VOC, COCO or YOLO layout."""

import argparse

from mmnetaug.cli.arguments import (
    above_zero,
    add_data_arguments,
    add_run_arguments,
    add_size_argument,
    check_arch,
    data_files,
    given_path,
    given_size,
    new_parser,
    whole,
)
from mmnetaug.config_files import config_names, find_config
from mmnetaug.errors import typed_command


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug train ssdlite_netaug_voc --data-root data/VOCdevkit',
        'CONFIG [options]',
        'Every option changes values of the config, and can be written as --cfg-options or in a config of your own.',
    )
    parser.add_argument('config', help=f'a path, or one of {", ".join(config_names("det"))}')
    add_data_arguments(parser)
    parser.add_argument(
        '--pretrained',
        type=given_path,
        help="what the backbone starts from: 'imagenet' (public weights, fetched), 'netaug' or 'baseline' (of "
        "mmnetaug pretrain), a path, or 'none' (default: the config's)",
    )
    add_size_argument(
        parser,
        "side of the images in pixels, a multiple of 32; or width and height, padded to such (default: the config's)",
    )
    parser.add_argument('--classes', nargs='+', help='only these classes (default: all)')
    parser.add_argument(
        '--mixup',
        action=argparse.BooleanOptionalAction,
        help="with or without detection mixup (default: the config's)",
    )
    parser.add_argument(
        '--allow-overlap', action='store_true', help='do not refuse to test on images that are trained on'
    )
    parser.add_argument(
        '--freeze',
        type=whole(0),
        metavar='N',
        help="do not train the stem of the backbone and its first N stages (default: the config's)",
    )
    parser.add_argument(
        '--backbone-lr-mult',
        type=above_zero,
        metavar='FACTOR',
        help='learning rate of the backbone, as a share of that of neck and head: 0.2 suits ImageNet weights '
        "(default: the config's, 1)",
    )
    add_run_arguments(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    args.config = find_config(args.config, 'det')
    files = data_files(args)
    size = given_size(args)
    check_arch(args)

    from mmengine.dist import is_main_process

    from mmnetaug.apis.image_sizes import size_options
    from mmnetaug.apis.overrides import (
        arch_options,
        detection_data_options,
        detection_mixup_options,
        freeze_options,
        own_data_options,
        pretrained_options,
    )
    from mmnetaug.apis.run_config import finish_run_config, read_run_config
    from mmnetaug.apis.train import summary, train_detector

    config = read_run_config(args, 'det')
    if args.arch is not None:
        config.merge_from_dict(arch_options(config, args.arch, pretrained=args.pretrained is None))
    if size is not None:
        config.merge_from_dict(size_options(config, size))
    if args.pretrained is not None:
        config.merge_from_dict(pretrained_options(config, args.pretrained, config.model.backbone.get('arch')))
    if args.freeze is not None:
        config.merge_from_dict(freeze_options(config, args.freeze))
    if args.backbone_lr_mult is not None:
        config.merge_from_dict({'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': args.backbone_lr_mult})
    if args.data_root or files:
        options = detection_data_options(
            config, args.data_root, args.classes, files=files, allow_outside=args.allow_outside
        )
        config.merge_from_dict(options)
    elif args.classes or args.allow_outside:
        config.merge_from_dict(own_data_options(config, args.classes, args.allow_outside))
    if args.allow_overlap:
        config.merge_from_dict({'allow_overlap': True})
    if args.mixup is not None:
        config.merge_from_dict(detection_mixup_options(config, args.mixup))
    finish_run_config(config, args)
    result = train_detector(config, typed_command())
    if is_main_process():
        print(f'{summary(result)}: {result["checkpoint"]}')
