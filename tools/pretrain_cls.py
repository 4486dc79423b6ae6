"""Pretrain a network on images of one folder a class, with or without NetAug."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from mmnetaug.errors import run_tool
from mmnetaug.pretrain import pretrain, pretrain_config, read_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/pretrain_cls.py configs/pretrain/netaug_mbv2.py --data-root data/imagenet',
    )
    parser.add_argument('config', help='a file of configs/pretrain')
    parser.add_argument('--data-root', help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg')
    parser.add_argument('--work-dir', help='where checkpoints and logs go (default: work_dirs/CONFIG)')
    parser.add_argument('--arch', help='another network, such as mobilenetv2_w0.1')
    parser.add_argument('--epochs', type=int, help='another length of training, warm-up included')
    parser.add_argument('--batch-size', type=int, help='images per device; the learning rate follows')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--resume', action='store_true', help='continue the run in the work directory')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='change any value of the config: num_classes=37 model.label_smoothing=0',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()

    options = {
        'train_dataloader.dataset.data_root': args.data_root,
        'val_dataloader.dataset.data_root': args.data_root,
        'model.arch': args.arch,
        'epochs': args.epochs,
        'train_dataloader.batch_size': args.batch_size,
        'randomness.seed': args.seed,
    }
    config = read_config(args.config, {key: value for key, value in options.items() if value is not None})
    config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    config.resume = args.resume
    config.launcher = args.launcher
    if args.amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
    result = pretrain(pretrain_config(config))
    if result:
        print(f'top-1 {result["top1"]:.2f}%, {result["macs"] / 1e6:.2f} M MACs: {config.work_dir}/export.pth')


if __name__ == '__main__':
    run_tool(main)
