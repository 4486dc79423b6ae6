"""Pretrain a network on images of one folder a class, with or without NetAug."""

import argparse

from mmengine.dist import is_main_process

from mmnetaug.engine.runtime import add_run_arguments, run_config
from mmnetaug.errors import InputError, run_tool
from mmnetaug.pretrain import lengthened, pretrain, pretrain_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/pretrain_cls.py configs/pretrain/netaug_mbv2.py --data-root data/imagenet',
    )
    parser.add_argument('config', help='a file of configs/pretrain')
    parser.add_argument('--data-root', help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg')
    add_run_arguments(parser)
    parser.add_argument(
        '--schedule',
        choices=['1x', '2x', '4x'],
        help="this many times the config's epochs after warm-up (not with --epochs)",
    )
    for name, default, metavar, text in [
        ('mixup', 0.2, 'ALPHA', 'mix images and labels, with lambda of Beta(ALPHA, ALPHA)'),
        ('dropblock', 0.1, 'RATE', 'drop blocks of feature maps in the last two stages'),
        ('dropout', 0.2, 'RATE', 'drop inputs of the classifier'),
    ]:
        text += f' (default: {default:g} where no value is given, 0 without the option)'
        parser.add_argument(f'--{name}', type=float, nargs='?', const=default, metavar=metavar, help=text)
    parser.add_argument('--autoaugment', action='store_true', help="AutoAugment's ImageNet policy, for colour jitter")
    parser.add_argument(
        '--teacher', metavar='CHECKPOINT', help='distil from this network, the export.pth of another run'
    )
    args = parser.parse_args()

    options = {
        'train_dataloader.dataset.data_root': args.data_root,
        'val_dataloader.dataset.data_root': args.data_root,
        'model.arch': args.arch,
        'epochs': args.epochs,
        'train_dataloader.batch_size': args.batch_size,
        'randomness.seed': args.seed,
        'mixup': args.mixup,
        'dropblock': args.dropblock,
        'dropout': args.dropout,
        'autoaugment': args.autoaugment or None,
        'distill.checkpoint': args.teacher,
    }
    config = run_config(args, 'pretrain', options)
    if args.schedule:
        if args.epochs is not None:
            raise InputError(f'--epochs {args.epochs} and --schedule {args.schedule}: give one of the two')
        config.epochs = lengthened(config, int(args.schedule[0]))
    result = pretrain(pretrain_config(config))
    if is_main_process():
        print(f'top-1 {result["top1"]:.2f}%, {result["macs"] / 1e6:.2f} M MACs: {config.work_dir}/export.pth')


if __name__ == '__main__':
    run_tool(main)
