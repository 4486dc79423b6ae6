"""Train SSDLite on any folder in Pascal VOC or COCO layout."""

import argparse
import shlex
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmnetaug.detection import detection_config, train_detector
from mmnetaug.errors import run_tool
from mmnetaug.pretrain import read_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/train.py configs/det/ssdlite_netaug_voc.py --data-root data/VOCdevkit',
    )
    parser.add_argument('config', help='a file of configs/det')
    parser.add_argument('--data-root', help='folder in VOC or COCO layout')
    parser.add_argument('--pretrained', help="checkpoint of the backbone, 'netaug', 'baseline', or 'none'")
    parser.add_argument('--arch', help='another backbone, such as mobilenetv2_tiny')
    parser.add_argument('--size', type=int, help='side of the images in pixels, a multiple of 32')
    parser.add_argument('--classes', nargs='+', help='only these classes')
    parser.add_argument('--epochs', type=int, help='another length of training, warm-up included')
    parser.add_argument('--batch-size', type=int, help='images per device; the learning rate follows')
    parser.add_argument('--lr', type=float, help='learning rate for 16 images')
    parser.add_argument('--work-dir', help='where checkpoints and logs go (default: work_dirs/CONFIG)')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--resume', action='store_true', help='continue the run in the work directory')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, help='change any value: warmup_epochs=1'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()

    options = {
        'data_root': args.data_root,
        'pretrained': args.pretrained,
        'arch': args.arch,
        'size': args.size,
        'classes': args.classes,
        'epochs': args.epochs,
        'train_dataloader.batch_size': args.batch_size,
        'optim_wrapper.optimizer.lr': args.lr,
        'randomness.seed': args.seed,
    }
    config = read_config(args.config, {key: value for key, value in options.items() if value is not None})
    config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    config.resume = args.resume
    config.launcher = args.launcher
    if args.amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
    result = train_detector(detection_config(config), shlex.join(['python', *sys.argv]))
    scores = ', '.join(f'{name} {value:.3f}' for name, value in result.items() if name.startswith('AP'))
    print(f'{scores}, {result["macs"] / 1e6:.1f} M MACs: {result["checkpoint"]}')


if __name__ == '__main__':
    run_tool(main)
