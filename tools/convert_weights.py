"""Convert weights of Keras, torchvision, timm, mmpretrain, MMDetection or NetAug to an export for --pretrained."""

import argparse

from mmnetaug.apis.weights import convert_weights
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/convert_weights.py mobilenet_v2-7ebf99e0.pth --arch mobilenetv2_w1.0 --out m.pth',
    )
    parser.add_argument('source', help='.pth, .safetensors, .h5 or .keras')
    parser.add_argument('--arch', required=True, help='our name of the network, such as mobilenetv2_w1.0')
    parser.add_argument('--out', required=True, help='the export')
    args = parser.parse_args()
    made = convert_weights(args.source, args.arch, args.out)
    what = f'{made["num_classes"]} classes' if made['num_classes'] else 'no classifier'
    without = f', without {", ".join(made["left_out"])}' if made['left_out'] else ''
    print(f'{made["arch"]}, {what}{without}: {args.out}')


if __name__ == '__main__':
    run_tool(main)
