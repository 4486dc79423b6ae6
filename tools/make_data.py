"""Make data: drawn shapes, detection scenes composed of an image tree, or CIFAR-100 unpacked.

python tools/make_data.py shapes
python tools/make_data.py cifar100
python tools/make_data.py scenes --source data/cifar100 --groups cifar100
"""

import argparse

from mmnetaug.datasets.preparation.cifar100 import SUPERCLASS
from mmnetaug.datasets.preparation.generate import draw_preview, generate_scenes, generate_shapes, unpack_cifar100
from mmnetaug.datasets.preparation.scenes import CLUTTER, OBJECT_SCALE
from mmnetaug.errors import run_tool


def parse_args() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest='command', required=True)
    tools = {name: commands.add_parser(name) for name in ('shapes', 'scenes', 'cifar100')}
    for name, tool in tools.items():
        tool.add_argument('--out', default=f'data/{name}', help='folder to make (default: %(default)s)')
        tool.add_argument('--force', action='store_true', help='replace what an earlier run made there')
    two_counts = {'type': int, 'nargs': 2}
    for name, counts in (('shapes', (300, 100)), ('scenes', (2000, 500))):
        tool = tools[name]
        text = f'detection images (default: {counts[0]} {counts[1]})'
        tool.add_argument('--images', **two_counts, default=counts, metavar=('TRAINVAL', 'TEST'), help=text)
        tool.add_argument('--size', type=int, default=224, help='longer side of the detection images, pixels')
        tool.add_argument('--seed', type=int, default=0)
        tool.add_argument('--jobs', type=int, help='processes (default: one per core, at most 8)')
        tool.add_argument('--preview', action='store_true', help='write preview.png with the boxes drawn')
    tool, text = tools['shapes'], 'classification images per class (default: 150 25)'
    tool.add_argument('--cls-images', **two_counts, default=(150, 25), metavar=('TRAIN', 'VAL'), help=text)
    tool.add_argument('--cls-size', type=int, default=64, help='their side, pixels')
    tool = tools['scenes']
    tool.add_argument('--source', default='data/cifar100', help='image tree {train,val}/CLASS/*')
    tool.add_argument('--groups', choices=['cifar100'], help='merge the classes into 20 superclasses')
    text = 'sides of objects, as shares of the image (default: %(default)s); large ones are easier'
    tool.add_argument('--object-scale', type=float, nargs=2, default=OBJECT_SCALE, metavar=('MIN', 'MAX'), help=text)
    tool.add_argument('--clutter', type=int, default=CLUTTER, help='things of no class (default: %(default)s)')
    tools['cifar100'].add_argument('--archive', help='default: $MMNETAUG_SHARED/data/cifar100.tar.gz')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.command == 'cifar100':
        unpack_cifar100(args.out, args.archive, args.force)
    else:
        common = {'det_images': args.images, 'det_size': args.size, 'seed': args.seed}
        common.update(jobs=args.jobs, force=args.force)
        if args.command == 'shapes':
            generate_shapes(args.out, args.cls_images, args.cls_size, **common)
        else:
            common.update(scale=tuple(args.object_scale), clutter=args.clutter)
            generate_scenes(args.out, args.source, SUPERCLASS if args.groups else None, **common)
        if args.preview:
            print(f'see {draw_preview(args.out)}')
    print(f'data: {args.out}')


if __name__ == '__main__':
    run_tool(main)
