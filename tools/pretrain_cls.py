"""Pretrain a network on images of one folder a class, with or without NetAug."""

import argparse

from mmengine.dist import is_main_process

from mmnetaug.engine.runtime import add_run_arguments, run_config
from mmnetaug.errors import run_tool
from mmnetaug.pretrain import pretrain, pretrain_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/pretrain_cls.py configs/pretrain/netaug_mbv2.py --data-root data/imagenet',
    )
    parser.add_argument('config', help='a file of configs/pretrain')
    parser.add_argument('--data-root', help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg')
    add_run_arguments(parser)
    args = parser.parse_args()

    options = {
        'train_dataloader.dataset.data_root': args.data_root,
        'val_dataloader.dataset.data_root': args.data_root,
        'model.arch': args.arch,
        'epochs': args.epochs,
        'train_dataloader.batch_size': args.batch_size,
        'randomness.seed': args.seed,
    }
    config = run_config(args, 'pretrain', options)
    result = pretrain(pretrain_config(config))
    if is_main_process():
        print(f'top-1 {result["top1"]:.2f}%, {result["macs"] / 1e6:.2f} M MACs: {config.work_dir}/export.pth')


if __name__ == '__main__':
    run_tool(main)
