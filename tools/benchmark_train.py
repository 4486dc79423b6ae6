"""Images per second of a plain and of a NetAug training step, and inference with the share of NMS."""

import argparse
import itertools
import json

import torch

from mmnetaug.apis.config import CONFIGS, read_config
from mmnetaug.apis.overrides import size_options
from mmnetaug.engine.cpu import keep_freed_memory
from mmnetaug.errors import run_tool
from mmnetaug.evaluation.loading_speed import IMAGES, SIDES, measure_loading, measure_start
from mmnetaug.evaluation.speed import measure_inference, measure_training
from mmnetaug.models.networks.archs import get_arch
from mmnetaug.records import write_json
from mmnetaug.registry import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/benchmark_train.py --arch mobilenetv2_tiny mcunet --batch 64 --out speed.json',
    )
    parser.add_argument('--arch', nargs='+', default=['mobilenetv2_tiny'])
    parser.add_argument('--size', type=int, help="side in pixels (default: the network's own)")
    parser.add_argument('--batch', type=int, nargs='+', default=[64])
    parser.add_argument(
        '--precision', nargs='+', choices=['float32', 'tf32', 'bf16'], default=['float32'], help='of the steps'
    )
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--inference', type=int, metavar='SIZE', help='also an untrained SSDLite at SIZE pixels')
    parser.add_argument('--default-allocator', action='store_true', help='return freed memory, as PyTorch does')
    parser.add_argument('--out', help='write the figures there, as JSON')
    parser.add_argument(
        '--start', nargs='+', choices=list(IMAGES), default=[], help='instead: seconds to the first iteration'
    )
    parser.add_argument('--against', metavar='DIR', help='of --start: another checkout, started in turn')
    parser.add_argument('--loading', action='store_true', help='instead: images a second from JPEGs, on one core')
    parser.add_argument('--photos', default='', metavar='DIR', help='of --loading: JPEGs in place of drawn ones')
    args = parser.parse_args()

    if args.start or args.loading:
        results = [measure_start(layout, args.against, args.repeats) for layout in args.start]
        if args.loading:
            sizes = [args.size] if args.size else [144, 160, 176]
            sides = [SIDES[0]] if args.photos else SIDES
            results += [
                measure_loading(size, each, args.repeats, photos=args.photos) for size in sizes for each in sides
            ]
        for result in results:
            print(json.dumps(result))
        if args.out:
            write_json(args.out, results)
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.default_allocator:
        keep_freed_memory()
    results = []
    for arch, batch, precision in itertools.product(args.arch, args.batch, args.precision):
        size = args.size or get_arch(arch).input_size
        result = measure_training(arch, size, batch, args.repeats, precision)
        print(
            f'{arch} at {size} px, batch {batch}, {precision}, images/s: plain NCHW '
            f'{result["plain_nchw_images_per_s"]}, plain {result["plain_images_per_s"]} (x{result["plain_ratio"]}), '
            f'NetAug {result["netaug_images_per_s"]} (x{result["netaug_ratio"]})',
            flush=True,
        )
        if args.inference:
            # A random network scores many classes of many boxes over the threshold: the worst case for NMS.
            config = read_config(CONFIGS / 'det/ssdlite_baseline_voc.py', 'det')
            config.merge_from_dict({'model.backbone.init_cfg': None, 'model.backbone.arch': arch})
            config.merge_from_dict(size_options(config, args.inference))
            detector = MODELS.build(config.model)
            inference = measure_inference(detector, args.inference)
            print(
                f'SSDLite on {arch} at {args.inference} px, untrained: {inference["latency_ms"]} ms, '
                f'{inference["nms_share"]:.1%} of it NMS'
            )
            result.update({'inference_size': args.inference, **inference})
        results.append({**result, 'allocator': 'default' if args.default_allocator else 'keeps freed memory'})
    if args.out:
        write_json(args.out, results)


if __name__ == '__main__':
    run_tool(main)
