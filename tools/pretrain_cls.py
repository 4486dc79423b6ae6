"""Pretrain a network on images of one folder a class, with or without NetAug."""

import argparse

from mmengine.dist import is_main_process

from mmnetaug.apis.command_line import add_run_arguments, finish_run_config, given_path, read_run_config
from mmnetaug.apis.overrides import (
    epochs_options,
    hook_options,
    image_folder_options,
    lengthened,
    regularizer_hook,
    regularizers,
)
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.errors import InputError, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage='%(prog)s CONFIG [options]',
        epilog='Example: python tools/pretrain_cls.py configs/pretrain/netaug_mbv2.py --data-root data/imagenet. Every '
        'option changes values of the config, and can be written as --cfg-options or in a config of your own.',
    )
    parser.add_argument('config', help='a file of configs/pretrain')
    parser.add_argument(
        '--data-root',
        type=given_path,
        help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg, any number of classes',
    )
    add_run_arguments(parser)
    parser.add_argument(
        '--schedule',
        choices=['1x', '2x', '4x'],
        help="this many times the config's epochs after warm-up (not with --epochs)",
    )
    known = regularizers()
    for name, (hook, text) in known.items():
        flags = [f'--{name}', *(['--teacher'] if name == 'distill' else [])]
        values = [value for key, value in hook.items() if key != 'type']
        if values:
            kind = type(values[0])
            text += f' (default: {values[0]} where no value is given)'
            # True stands for the option without a value
            parser.add_argument(*flags, type=kind, nargs='?', const=True, metavar='VALUE', help=text, dest=name)
        else:
            parser.add_argument(*flags, action='store_true', default=None, help=text, dest=name)
    args = parser.parse_args()

    config = read_run_config(args, 'pretrain')
    if args.arch is not None:
        config.merge_from_dict({'model.arch': args.arch})
    if args.data_root is not None:
        config.merge_from_dict(image_folder_options(config, args.data_root))
    if args.schedule:
        if args.epochs is not None:
            raise InputError(f'--epochs {args.epochs} and --schedule {args.schedule}: give one of the two')
        config.merge_from_dict(epochs_options(config, lengthened(config, int(args.schedule[0]))))
    for name in known:
        value = getattr(args, name)
        if value is not None:
            hook = regularizer_hook(name, None if value is True else value)
            config.merge_from_dict(hook_options(config, hook))
    finish_run_config(config, args)
    result = pretrain(config)
    if is_main_process():
        print(f'top-1 {result["top1"]:.2f}%, {result["macs"] / 1e6:.2f} M MACs: {config.work_dir}/export.pth')


if __name__ == '__main__':
    run_tool(main)
