"""Draw what a detector finds on an image, a video, or each image of a folder, and write it down as JSON."""

import argparse

from mmnetaug.apis.config import import_custom
from mmnetaug.apis.inference import found, infer
from mmnetaug.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', help='an image, a video, or a folder of images')
    parser.add_argument(
        '--checkpoint',
        required=True,
        help='an export.pth or epoch_N.pth of tools/train.py, or an .onnx or .tflite of tools/export.py',
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='least score of a box that is drawn (default: %(default)s)'
    )
    parser.add_argument(
        '--out-dir',
        default='work_dirs/infer',
        help='the pictures go to vis in this folder, beside predictions.json (default: %(default)s)',
    )
    parser.add_argument('--device', default='cpu', help='where PyTorch runs, such as cuda (default: %(default)s)')
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], metavar='MODULE', help='Python modules that register your own parts'
    )
    args = parser.parse_args()
    import_custom(args.custom_imports)
    pictures = infer(args.images, args.checkpoint, args.out_dir, args.score_thr, args.device)
    print(found(pictures, args.out_dir, args.score_thr))


if __name__ == '__main__':
    run_tool(main)
