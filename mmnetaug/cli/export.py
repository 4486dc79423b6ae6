"""Write a trained network as ONNX or TFLite, to run without PyTorch."""

import argparse
import os

from mmnetaug.cli.arguments import (
    add_custom_imports,
    add_data_arguments,
    data_files,
    given_path,
    import_given,
    new_parser,
    whole,
)
from mmnetaug.errors import InputError
from mmnetaug.extras import FORMATS


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug export work_dirs/run/export.pth --format tflite --int8',
        more='ONNX gives boxes, TFLite raw maps, and the JSON beside it says how they become boxes; mmnetaug infer, '
        'test and benchmark take either.',
    )
    parser.add_argument(
        'checkpoint',
        help='an export of mmnetaug train or mmnetaug pretrain, or an epoch_N.pth of the first',
    )
    parser.add_argument('--format', choices=FORMATS, required=True, help='of the file')
    parser.add_argument('--out', type=given_path, help='the file (default: beside the checkpoint)')
    parser.add_argument('--int8', action='store_true', help='weights and activations of 8 bits, with static ranges')
    parser.add_argument(
        '--calibration', type=given_path, metavar='DIR', help='images to take ranges from (default: the training set)'
    )
    parser.add_argument('--calibration-images', type=whole(1), default=128, metavar='N', help='how many of them')
    parser.add_argument(
        '--raw', action='store_true', help='ONNX: the raw maps of the head, without decoding and suppression'
    )
    parser.add_argument(
        '--c', action='store_true', help='TFLite: also the model as a C array, and decoding and suppression in C99'
    )
    parser.add_argument('--no-eval', dest='evaluate', action='store_false', help='do not measure AP or accuracy')
    parser.add_argument('--json', type=given_path, metavar='FILE', help='write what was measured there')
    add_data_arguments(parser, train=False, more='; of a classifier, with train/CLASS/*.jpg and val/CLASS/*.jpg')
    add_custom_imports(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    files = data_files(args) or None

    from mmnetaug.apis.export import artefact_path, export
    from mmnetaug.apis.train import summary
    from mmnetaug.engine.console import show_plainly
    from mmnetaug.records import RESULT_VERSION, write_json

    described = f'{os.path.splitext(artefact_path(args.checkpoint, args.format, args.out, args.int8))[0]}.json'
    if args.json and args.format == 'tflite' and os.path.realpath(args.json) == os.path.realpath(described):
        raise InputError(f'--json {args.json} is where the TFLite file is described: expected another name')
    show_plainly()
    import_given(args)
    result = export(
        args.checkpoint,
        args.format,
        args.out,
        args.int8,
        args.calibration,
        args.calibration_images,
        args.raw,
        args.c,
        args.evaluate,
        args.data_root,
        files,
        args.allow_outside,
    )
    for name, label in [('before', 'PyTorch, float'), ('after', f'{args.format}, {"int8" if args.int8 else "float"}')]:
        if name in result:
            print(f'{label}: {summary(result[name])}')
    print(f'{result["path"]}: {result["bytes"] / 1e6:.2f} MB')
    for path in result.get('c', []):
        print(path)
    if args.json:
        write_json(args.json, {'version': RESULT_VERSION, **result})
