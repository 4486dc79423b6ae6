"""Say which detectors fit a microcontroller, before any is trained: memory, weights and MACs of each in int8."""

import argparse

from mmnetaug.archs import PADDINGS, get_arch
from mmnetaug.boards import ARCHS, BOARDS, SIZES, board_budget
from mmnetaug.cli.arguments import add_custom_imports, import_given, new_parser
from mmnetaug.config_files import heads


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(
        prog,
        __doc__,
        'mmnetaug fit --sram 512K --flash 1M --macs 100M',
        '--board NAME | --sram BYTES [--flash BYTES] [options]',
        'The program itself comes on top: give less than the chip has.',
    )
    parser.add_argument('--board', help=f'budget of a board: {", ".join(BOARDS)}')
    parser.add_argument(
        '--sram', metavar='BYTES', help='for int8 activations and the tables of tflite-micro, such as 512K'
    )
    parser.add_argument('--flash', metavar='BYTES', help='for the int8 TFLite file, such as 1M')
    parser.add_argument('--macs', help='most multiply-accumulates of an image, such as 100M')
    parser.add_argument('--head', nargs='+', default=heads(), help='heads')
    parser.add_argument('--arch', nargs='+', default=ARCHS, help='networks')
    parser.add_argument(
        '--size',
        nargs='+',
        default=list(map(str, SIZES)),
        help='sides of the images in pixels, multiples of 32; or width and height such as 160x120, padded to such',
    )
    parser.add_argument('--num-classes', type=int, default=20, help='how many classes')
    parser.add_argument(
        '--padding', choices=PADDINGS, default='symmetric', help='as in training: tf needs less memory in TFLite'
    )
    parser.add_argument('--gray', action='store_true', help='images of one channel')
    parser.add_argument('--out', default='work_dirs/fit.json', help='JSON of all')
    add_custom_imports(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    sram, flash = board_budget(args.board) if args.board is not None else (None, None)
    import_given(args)
    for arch in args.arch:
        get_arch(arch)

    from mmnetaug.apis.fit import fit, fit_table, parse_amount, parse_size
    from mmnetaug.records import RESULT_VERSION, write_json

    sram = parse_amount(args.sram, '--sram') if args.sram is not None else sram
    flash = parse_amount(args.flash, '--flash') if args.flash is not None else flash
    macs = parse_amount(args.macs, '--macs', 1000) if args.macs is not None else None
    sizes = list(map(parse_size, args.size))
    given = {'num_classes': args.num_classes, 'padding': args.padding, 'gray': args.gray}
    rows = fit(sram, flash, macs, args.head, args.arch, sizes, **given)
    budget = {'sram': sram, 'flash': flash, 'macs': macs, **given}
    print(fit_table(rows))
    write_json(args.out, {'version': RESULT_VERSION, 'budget': budget, 'detectors': rows})
    print(f'{sum(row["fits"] for row in rows)} of {len(rows)} detectors fit; all are in {args.out}')
