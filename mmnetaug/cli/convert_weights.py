"""Convert weights of Keras, torchvision, timm, mmpretrain, MMDetection or NetAug to an export for --pretrained."""

import argparse

from mmnetaug.archs import get_arch
from mmnetaug.cli.arguments import add_custom_imports, import_given, new_parser


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug convert-weights mobilenet_v2-7ebf99e0.pth --arch mobilenetv2_w1.0 --out m.pth',
    )
    parser.add_argument('source', help='.pth, .safetensors, .h5 or .keras')
    parser.add_argument('--arch', required=True, help='our name of the network, such as mobilenetv2_w1.0')
    parser.add_argument('--out', required=True, help='the export')
    add_custom_imports(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    import_given(args)
    get_arch(args.arch)

    from mmnetaug.apis.weights import convert_weights
    from mmnetaug.engine.console import show_plainly

    show_plainly()
    made = convert_weights(args.source, args.arch, args.out)
    what = f'{made["num_classes"]} classes' if made['num_classes'] else 'no classifier'
    without = f', without {", ".join(made["left_out"])}' if made['left_out'] else ''
    print(f'{made["arch"]}, {what}{without}: {args.out}')
