"""Figures of the paper on your own data: train what is missing, use again what is there, and draw."""

import argparse
import shlex
import sys
from pathlib import Path

from mmnetaug.errors import InputError, run_tool
from mmnetaug.workflow.fig5 import HEADS, Settings, draw_plan, plan_fig5, redraw_fig5
from mmnetaug.workflow.graph import require_snakemake, run_plan


def add_fig5(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        'fig5',
        help='AP of detectors against MACs: baseline, baseline + mixup, NetAug',
        description='AP of detectors against MACs: baseline, baseline + mixup, NetAug.',
        epilog='Example: python tools/figures.py fig5 --data data/VOCdevkit --head ssdlite --jobs 2 --dry-run',
    )
    parser.add_argument('--data', help='folder in VOC or COCO layout')
    parser.add_argument('--head', choices=list(HEADS), help='one SSDLite for each size, or one YOLOv3 tested at each')
    parser.add_argument('--arch', default=Settings.arch, help='of the backbone (default: %(default)s)')
    parser.add_argument('--sizes', type=int, nargs='+', help='sides of the images in pixels (default: by head)')
    parser.add_argument('--epochs', type=int, help="of fine-tuning (default: the recipe's)")
    parser.add_argument('--seeds', type=int, nargs='+', default=list(Settings.seeds), help='(default: 0 1 2)')
    parser.add_argument('--batch-size', type=int, help='of fine-tuning; the learning rate follows')
    parser.add_argument('--lr', type=float, help='of fine-tuning, for the batch size of the config')
    parser.add_argument('--train-size', type=int, help="YOLOv3's nominal size (default: by the largest of --sizes)")
    parser.add_argument('--cfg-options', nargs='+', default=[], help='change any value of the detection configs')
    parser.add_argument(
        '--pretrained',
        nargs=2,
        metavar=('BASELINE', 'NETAUG'),
        help='checkpoints of backbones; {seed} in their paths stands for the seed (default: pretrain for each seed)',
    )
    parser.add_argument('--pretrain-config', metavar='ENDING', help='such as mbv2_tiny (default: by --arch)')
    parser.add_argument('--pretrain-data', help="class folders to pretrain on (default: the config's)")
    parser.add_argument('--pretrain-epochs', type=int, help="(default: the config's)")
    parser.add_argument('--from-results', metavar='DIR', help='only draw again, from the fig5.json in DIR')
    add_graph_arguments(parser, 'fig5')
    parser.set_defaults(run=fig5)


def add_graph_arguments(parser: argparse.ArgumentParser, figure: str) -> None:
    """The options that all figures share."""
    parser.add_argument('--out', help=f'folder of figure and runs (default: work_dirs/{figure})')
    parser.add_argument('--jobs', type=int, default=1, help='runs at once, which share the cores (default: 1)')
    parser.add_argument('--dry-run', action='store_true', help='only show which runs are missing')
    parser.add_argument(
        '--snakemake', nargs=argparse.REMAINDER, default=[], help='the rest goes to Snakemake: --executor slurm ...'
    )


def fig5(args: argparse.Namespace) -> None:
    if args.from_results:
        out = args.out or args.from_results
        print(f'{redraw_fig5(args.from_results, out)["headline"]}\n{out}/fig5.png, .svg, .md and .json')
        return
    for option in ('data', 'head'):
        if getattr(args, option) is None:
            raise InputError(f'give --{option} (or --from-results DIR): see python tools/figures.py fig5 --help')
    if args.jobs < 1:
        raise InputError(f'--jobs {args.jobs}: expected a number of at least 1')
    require_snakemake()
    out = Path(args.out or 'work_dirs/fig5')
    names = ['data', 'head', 'arch', 'sizes', 'epochs', 'seeds', 'batch_size', 'lr', 'train_size', 'pretrained']
    names += ['pretrain_config', 'pretrain_data', 'pretrain_epochs']
    settings = Settings(**{name: getattr(args, name) for name in names}, train_options=args.cfg_options)
    plan = plan_fig5(settings, Path(__file__).parents[1], out, shlex.join(['python', *sys.argv]))
    run_plan(plan, out, args.jobs, args.dry_run, args.snakemake)
    if not args.dry_run and (out / 'fig5.md').is_file():  # Snakemake may have been told to stop before
        print(f'{(out / "fig5.md").read_text()}\n{out}/fig5.png, .svg, .md and .json')


def draw(args: argparse.Namespace) -> None:
    print(draw_plan(args.plan)['headline'])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='FIGURE')
    add_fig5(commands)
    parser_draw = commands.add_parser('draw', help='the last step of a figure, which its command takes by itself')
    parser_draw.add_argument('plan', help='OUT/fig5_plan.json')
    parser_draw.set_defaults(run=draw)
    args = parser.parse_args()
    args.run(args)


if __name__ == '__main__':
    run_tool(main)
