"""Pretrain a network on images of one folder a class, with or without NetAug."""

import argparse

from mmnetaug.archs import get_arch
from mmnetaug.cli.arguments import add_run_arguments, check_arch, given_path, new_parser
from mmnetaug.config_files import config_names, find_config, regularizers
from mmnetaug.errors import InputError


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug pretrain netaug_mbv2 --data-root data/imagenet',
        'CONFIG [options]',
        'Every option changes values of the config, and can be written as --cfg-options or in a config of your own.',
    )
    parser.add_argument('config', help=f'a path, or one of {", ".join(config_names("pretrain"))}')
    parser.add_argument(
        '--data-root',
        type=given_path,
        help="folder with train/CLASS/*.jpg and val/CLASS/*.jpg, any number of classes (default: the config's)",
    )
    add_run_arguments(parser)
    parser.add_argument(
        '--schedule',
        choices=['1x', '2x', '4x'],
        help="this many times the config's epochs after warm-up (not with --epochs)",
    )
    for name, (hook, text) in regularizers().items():
        flags = [f'--{name}', *(['--teacher'] if name == 'distill' else [])]
        values = [value for key, value in hook.items() if key != 'type']
        if values:
            kind = type(values[0])
            text += f' (default: {values[0]} where no value is given)'
            # True stands for the option without a value
            parser.add_argument(*flags, type=kind, nargs='?', const=True, metavar='VALUE', help=text, dest=name)
        else:
            parser.add_argument(*flags, action='store_true', default=None, help=text, dest=name)
    return parser


def main(args: argparse.Namespace) -> None:
    args.config = find_config(args.config, 'pretrain')
    if args.schedule and args.epochs is not None:
        raise InputError(f'--epochs {args.epochs} and --schedule {args.schedule}: give one of the two')
    check_arch(args)

    from mmengine.dist import is_main_process

    from mmnetaug.apis.overrides import epochs_options, hook_options, image_folder_options, lengthened, regularizer_hook
    from mmnetaug.apis.pretrain import pretrain
    from mmnetaug.apis.run_config import finish_run_config, read_run_config

    config = read_run_config(args, 'pretrain')
    if args.arch is not None:
        config.merge_from_dict({'model.arch': get_arch(args.arch).name})
    if args.data_root is not None:
        config.merge_from_dict(image_folder_options(config, args.data_root))
    if args.schedule:
        config.merge_from_dict(epochs_options(config, lengthened(config, int(args.schedule[0]))))
    for name in regularizers():
        value = getattr(args, name)
        if value is not None:
            hook = regularizer_hook(name, None if value is True else value)
            config.merge_from_dict(hook_options(config, hook))
    finish_run_config(config, args)
    result = pretrain(config)
    if is_main_process():
        print(f'top-1 {result["top1"]:.2f}%, {result["macs"] / 1e6:.2f} M MACs: {config.work_dir}/export.pth')
