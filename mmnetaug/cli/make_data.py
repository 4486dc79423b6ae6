"""Make data: drawn shapes, detection scenes composed of an image tree, or CIFAR-100 unpacked."""

import argparse

from mmnetaug.cli.arguments import new_parser

# What each makes.
KINDS = {
    'shapes': 'drawn shapes, to detect and to classify',
    'scenes': 'detection scenes composed of an image tree',
    'cifar100': 'CIFAR-100 unpacked to one folder a class',
}
OBJECT_SCALE, CLUTTER = (0.05, 0.6), 10  # those of mmnetaug.datasets.preparation.scenes, which imports much


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug make-data scenes --source data/cifar100 --groups cifar100')
    commands = parser.add_subparsers(dest='command', required=True, metavar='|'.join(KINDS))
    tools = {name: commands.add_parser(name, help=text, description=f'Make {text}.') for name, text in KINDS.items()}
    for name, tool in tools.items():
        tool.add_argument('--out', default=f'data/{name}', help='folder to make')
        tool.add_argument('--force', action='store_true', help='replace what an earlier run made there')
    two_counts = {'type': int, 'nargs': 2}
    for name, counts in (('shapes', (300, 100)), ('scenes', (2000, 500))):
        tool = tools[name]
        tool.add_argument(
            '--images', **two_counts, default=counts, metavar=('TRAINVAL', 'TEST'), help='detection images'
        )
        tool.add_argument('--size', type=int, default=224, help='longer side of the detection images, pixels')
        tool.add_argument('--seed', type=int, default=0, help='of all randomness')
        text = 'sides of objects, as shares of the image; large ones are easier'
        tool.add_argument(
            '--object-scale', type=float, nargs=2, default=OBJECT_SCALE, metavar=('MIN', 'MAX'), help=text
        )
        tool.add_argument('--clutter', type=int, default=CLUTTER, help='things of no class')
        tool.add_argument('--jobs', type=int, help='processes (default: one per core, at most 8)')
        tool.add_argument('--preview', action='store_true', help='write preview.png with the boxes drawn')
    tool, text = tools['shapes'], 'classification images per class'
    tool.add_argument('--cls-images', **two_counts, default=(150, 25), metavar=('TRAIN', 'VAL'), help=text)
    tool.add_argument('--cls-size', type=int, default=64, help='their side, pixels')
    tool = tools['scenes']
    tool.add_argument('--source', default='data/cifar100', help='image tree {train,val}/CLASS/*')
    tool.add_argument('--groups', choices=['cifar100'], help='merge the classes into 20 superclasses')
    tools['cifar100'].add_argument(
        '--archive',
        help='with cifar100/{train,val}/CLASS/IMAGE (default: data/cifar100.tar.gz in the folder that the '
        'environment variable MMNETAUG_SHARED names)',
    )
    return parser


def main(args: argparse.Namespace) -> None:
    from mmnetaug.datasets.preparation.cifar100 import SUPERCLASS
    from mmnetaug.datasets.preparation.generate import draw_preview, generate_scenes, generate_shapes, unpack_cifar100

    if args.command == 'cifar100':
        unpack_cifar100(args.out, args.archive, args.force)
    else:
        common = {'det_images': tuple(args.images), 'det_size': args.size, 'seed': args.seed}
        common.update(jobs=args.jobs, force=args.force, scale=tuple(args.object_scale), clutter=args.clutter)
        if args.command == 'shapes':
            generate_shapes(args.out, tuple(args.cls_images), args.cls_size, **common)
        else:
            generate_scenes(args.out, args.source, SUPERCLASS if args.groups else None, **common)
        if args.preview:
            print(f'see {draw_preview(args.out)}')
    print(f'data: {args.out}')
