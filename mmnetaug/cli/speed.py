"""Images per second of a plain and of a NetAug training step, inference with the share of NMS, and more on request."""

import argparse
import itertools
from pathlib import Path
from typing import Any

from mmnetaug.archs import get_arch
from mmnetaug.cli.arguments import add_custom_imports, import_given, new_parser, whole
from mmnetaug.errors import InputError

LAYOUTS = ('voc', 'coco', 'folders')
# What is measured instead of steps, and which of the options it takes.
INSTEAD = {
    'evaluation': ('arch',),
    'batches': ('batch',),
    'freeze': ('arch', 'size', 'batch', 'repeats'),
    'growth': ('repeats',),
    'start': ('repeats', 'against'),
    'jpeg': ('size', 'repeats'),
}
STEPS = ('arch', 'size', 'batch', 'precision', 'repeats', 'inference')


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug speed --arch mobilenetv2_tiny mcunet --batch 64 --out speed.json')
    parser.add_argument('--arch', nargs='+', default=['mobilenetv2_tiny'], help='networks')
    parser.add_argument('--size', type=whole(1), help="side in pixels (default: the network's own)")
    parser.add_argument('--batch', type=whole(1), nargs='+', default=[64], help='images in a batch')
    parser.add_argument(
        '--precision', nargs='+', choices=['float32', 'tf32', 'bf16'], default=['float32'], help='of the steps'
    )
    parser.add_argument('--repeats', type=whole(1), default=15, help='steps of each that are timed')
    parser.add_argument('--threads', type=whole(1), help='CPU threads (default: all cores)')
    parser.add_argument('--inference', type=whole(96), metavar='SIZE', help='also an untrained SSDLite at SIZE pixels')
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--evaluation',
        type=whole(96),
        metavar='SIZE',
        help='instead: evaluate an SSDLite, with and without what makes it fast',
    )
    instead.add_argument(
        '--batches', type=whole(32), metavar='SIZE', help='instead: crops, and batches of images of SIZE pixels'
    )
    instead.add_argument(
        '--freeze',
        type=whole(0),
        nargs='+',
        metavar='N',
        help='instead: steps of an SSDLite with N frozen stages (--size)',
    )
    instead.add_argument(
        '--growth', action='store_true', help='instead: how time and memory of a step grow with its work'
    )
    instead.add_argument(
        '--start', nargs='+', choices=LAYOUTS, help='instead: seconds from a command to its first step'
    )
    instead.add_argument(
        '--jpeg', nargs='*', metavar='DIR', help='instead: images a second from JPEGs, drawn or those of a folder'
    )
    parser.add_argument('--against', metavar='DIR', help='with --start: another checkout, started in turn')
    parser.add_argument(
        '--default-allocator', action='store_true', help='return freed memory to the system, as PyTorch does by default'
    )
    parser.add_argument('--out', help='write the figures there, as JSON')
    add_custom_imports(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    if args.against and not Path(args.against, 'mmnetaug').is_dir():
        raise InputError(f'--against {args.against}: expected the folder of another checkout')
    if args.against and not args.start:
        raise InputError('--against is for --start: give both, or leave it out')
    instead = next((name for name in INSTEAD if getattr(args, name) not in (None, False)), None)
    taken = INSTEAD.get(instead, STEPS)
    defaults = parser()
    left = [name for name in STEPS if name not in taken]
    ignored = [f'--{name}' for name in left if getattr(args, name) != defaults.get_default(name)]
    if ignored:
        raise InputError(
            f'{", ".join(ignored)}: {f"--{instead}" if instead else "a measurement of steps"} takes '
            f'{", ".join(f"--{name}" for name in taken)}'
        )
    if instead and (len(args.arch) > 1 or len(args.batch) > 1):
        raise InputError(f'--{instead} measures one network: expected one --arch and --batch')
    if not instead and min(args.batch) < 2:
        raise InputError(f'--batch {min(args.batch)}: normalisation needs two images to train on')
    import_given(args)
    sizes = {arch: args.size or get_arch(arch).input_size for arch in args.arch}

    import torch

    from mmnetaug.engine.cpu import keep_freed_memory
    from mmnetaug.evaluation.detector_speed import measure_batches, measure_evaluation, measure_freezing
    from mmnetaug.evaluation.growth import measure_growth
    from mmnetaug.evaluation.loading_speed import SIDES, measure_jpeg, measure_start
    from mmnetaug.records import write_json

    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.default_allocator:
        keep_freed_memory()
    results: list | dict
    if args.evaluation:
        results = measure_evaluation(_ssdlite(args.arch[0], args.evaluation), args.evaluation)
    elif args.batches:
        results = measure_batches(args.batches, args.batch[0])
    elif args.freeze:
        size = args.size or 224
        detectors = {f'frozen_{number}': _ssdlite(args.arch[0], size, number) for number in (-1, *args.freeze)}
        results = measure_freezing(detectors, size, args.batch[0], args.repeats)
    elif args.growth:
        results = measure_growth(repeats=args.repeats)
    elif args.start:
        results = [measure_start(layout, args.against, args.repeats) for layout in args.start]
    elif args.jpeg is not None:
        photographs = [(SIDES[0], folder) for folder in args.jpeg] or [(sides, '') for sides in SIDES]
        results = [
            measure_jpeg(size, sides, args.repeats, photos=folder)
            for size, (sides, folder) in itertools.product([args.size] if args.size else [144, 160, 176], photographs)
        ]
    else:
        results = [
            _measure_steps(args, arch, sizes[arch], batch, precision)
            for arch, batch, precision in itertools.product(args.arch, args.batch, args.precision)
        ]
    if args.start or args.jpeg is not None:
        print(*results, sep='\n')
    if isinstance(results, dict):
        print(*results.get('rows', []), sep='\n')
        print(', '.join(f'{name} {value}' for name, value in results.items() if name != 'rows'))
    if args.out:
        write_json(args.out, results)


def _ssdlite(arch: str, size: int, frozen: int = -1) -> Any:
    # A random network scores many classes of many boxes over the threshold: the worst case for NMS.
    from mmnetaug.apis.config import read_config
    from mmnetaug.apis.image_sizes import size_options
    from mmnetaug.registry import MODELS

    config = read_config('ssdlite_baseline_voc', 'det')
    options = {'init_cfg': None, 'arch': arch, 'frozen_stages': frozen}
    config.merge_from_dict({f'model.backbone.{name}': value for name, value in options.items()})
    config.merge_from_dict(size_options(config, size))
    return MODELS.build(config.model)


def _measure_steps(args: argparse.Namespace, arch: str, size: int, batch: int, precision: str) -> dict:
    from mmnetaug.evaluation.speed import measure_inference, measure_training

    result = measure_training(arch, size, batch, args.repeats, precision)
    print(
        f'{arch} at {size} px, batch {batch}, {precision}, images/s: plain NCHW '
        f'{result["plain_nchw_images_per_s"]}, plain {result["plain_images_per_s"]} (x{result["plain_ratio"]}), '
        f'NetAug {result["netaug_images_per_s"]} (x{result["netaug_ratio"]})',
        flush=True,
    )
    if args.inference:
        inference = measure_inference(_ssdlite(arch, args.inference), args.inference)
        print(
            f'SSDLite on {arch} at {args.inference} px, untrained: {inference["latency_ms"]} ms, '
            f'{inference["nms_share"]:.1%} of it NMS'
        )
        result.update({'inference_size': args.inference, 'inference_device': 'cpu', **inference})
    return {**result, 'allocator': 'default' if args.default_allocator else 'keeps freed memory'}
