"""Evaluate a detector that tools/train.py trained."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from mmnetaug.detection import test_detector
from mmnetaug.errors import run_tool
from mmnetaug.pretrain import read_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/test.py configs/det/ssdlite_netaug_voc.py work_dirs/x/epoch_120.pth',
    )
    parser.add_argument('config', help="a file of configs/det; network, image size and classes are the checkpoint's")
    parser.add_argument('checkpoint', help='a checkpoint that tools/train.py wrote')
    parser.add_argument('--data-root', help='folder in VOC or COCO layout')
    parser.add_argument('--work-dir', help='where logs go (default: work_dirs/CONFIG)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, help='change any value: val_dataloader.batch_size=1'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()

    config = read_config(args.config, {'data_root': args.data_root} if args.data_root else None)
    config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher
    result = test_detector(config, args.checkpoint)
    scores = ', '.join(f'{name} {value:.3f}' for name, value in result.items() if name.startswith('AP'))
    print(f'{scores}, {result["macs"] / 1e6:.1f} M MACs')


if __name__ == '__main__':
    run_tool(main)
