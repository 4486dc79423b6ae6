"""Say what is missing or malformed in a detection data set; exit status 0: all is well, 1: findings, 2: unusable."""

import argparse
import sys

from mmnetaug.cli.arguments import add_data_arguments, data_files, new_parser
from mmnetaug.config_files import find_config
from mmnetaug.errors import InputError

DEFAULT = 'ssdlite_baseline_voc'


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug check data/VOCdevkit')
    parser.add_argument('folder', nargs='?', metavar='DIR', help='folder in VOC, COCO or YOLO layout')
    add_data_arguments(parser)
    parser.add_argument('--classes', nargs='+', help='only these classes (default: all)')
    parser.add_argument('--size', type=int, default=320, help='side of the images in pixels')
    parser.add_argument(
        '--config',
        help=f'whose anchors are laid over the objects: a path, or the name of one of configs/det (default: {DEFAULT})',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='other anchors, such as model.bbox_head.anchor_generator.first_anchor=0.08',
    )
    return parser


def main(args: argparse.Namespace) -> None:
    if args.folder and args.data_root:
        raise InputError(f'{args.folder} and --data-root {args.data_root}: expected one folder')
    args.data_root = args.folder or args.data_root
    files = data_files(args)
    if not args.data_root and not files:
        raise InputError('no data named: expected a folder, or --train-ann and --test-ann')

    config_path = find_config(args.config or DEFAULT, 'det')

    from mmnetaug.apis.anchors import describe_anchors, head_anchors
    from mmnetaug.apis.config import merge_cfg_options, read_config
    from mmnetaug.apis.image_sizes import size_options
    from mmnetaug.datasets.preparation.check import check_detection_data, describe_check

    config = read_config(config_path, 'det')
    try:
        config.merge_from_dict(size_options(config, args.size))
        fits = True
    except InputError:  # a size that no detector takes; the rest can be told
        if args.config:
            raise
        fits = False
    merge_cfg_options(config, args.cfg_options)
    if fits:
        head_anchors(config.model, args.size)  # where these cannot be made, no images are read before that is said
    report = check_detection_data(args.data_root, args.classes, args.size, files, args.allow_outside)
    given = config_path.stem, config.model, args.size, report['objects']['train'], report['classes']
    print(describe_check(report, describe_anchors(*given) if fits else ''))
    sys.exit(1 if report['findings'] else 0)
