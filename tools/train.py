"""Train SSDLite or YOLOv3 on any folder in Pascal VOC or COCO layout."""

import argparse
import shlex
import sys

from mmengine.dist import is_main_process

from mmnetaug.detection import detection_config, summary, train_detector
from mmnetaug.engine.runtime import add_run_arguments, run_config
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/train.py configs/det/ssdlite_netaug_voc.py --data-root data/VOCdevkit',
    )
    parser.add_argument('config', help='a file of configs/det')
    parser.add_argument('--data-root', help='folder in VOC or COCO layout')
    parser.add_argument('--pretrained', help="checkpoint of the backbone, 'netaug', 'baseline', or 'none'")
    parser.add_argument('--size', type=int, help='side of the images in pixels, a multiple of 32')
    parser.add_argument('--classes', nargs='+', help='only these classes')
    parser.add_argument(
        '--mixup',
        action=argparse.BooleanOptionalAction,
        help='detection mixup, whatever the config says',
    )
    parser.add_argument('--lr', type=float, help='learning rate for 16 images (YOLOv3: 64)')
    add_run_arguments(parser)
    args = parser.parse_args()

    options = {
        'data_root': args.data_root,
        'pretrained': args.pretrained,
        'arch': args.arch,
        'size': args.size,
        'classes': args.classes,
        'mixup': args.mixup,
        'epochs': args.epochs,
        'train_dataloader.batch_size': args.batch_size,
        'optim_wrapper.optimizer.lr': args.lr,
        'randomness.seed': args.seed,
    }
    config = run_config(args, 'det', options)
    result = train_detector(detection_config(config), shlex.join(['python', *sys.argv]))
    if not is_main_process():
        return
    print(f'{summary(result)}: {result["checkpoint"]}')


if __name__ == '__main__':
    run_tool(main)
