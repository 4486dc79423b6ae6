"""Draw what a detector finds on an image, a video, or each image of a folder, and write it down as JSON."""

import argparse

from mmnetaug.cli.arguments import add_custom_imports, import_given, new_parser


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug infer photographs --checkpoint work_dirs/run/export.pth')
    parser.add_argument('images', help='an image, a video, or a folder of images')
    parser.add_argument(
        '--checkpoint',
        required=True,
        help='an export.pth or epoch_N.pth of mmnetaug train, or an .onnx or .tflite of mmnetaug export',
    )
    parser.add_argument('--score-thr', type=float, default=0.3, help='least score of a box that is drawn')
    parser.add_argument(
        '--out-dir',
        default='work_dirs/infer',
        help='the pictures go to vis in this folder, beside predictions.json',
    )
    parser.add_argument('--device', default='cpu', help='where PyTorch runs, such as cuda')
    add_custom_imports(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    from mmnetaug.apis.inference import found, infer
    from mmnetaug.engine.console import show_plainly

    show_plainly()
    import_given(args)
    pictures = infer(args.images, args.checkpoint, args.out_dir, args.score_thr, args.device)
    print(found(pictures, args.out_dir, args.score_thr))
