"""Figures of the paper on your own data: train what is missing, use again what is there, and draw."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmnetaug.cli.arguments import new_parser, whole
from mmnetaug.config_files import NETWORKS, RATES, ROOT, methods
from mmnetaug.errors import InputError, typed_command

if TYPE_CHECKING:
    from mmnetaug.workflow.graph import Plan

# Figure -> what it shows, and options to start with.
ACCURACY_FIGURES = {
    'fig1': ('accuracy of regularisers and NetAug on a tiny and a large network', '--seeds 0 1 2 --seeds 0 --jobs 2'),
    'fig3': ('accuracy against the length of training, baseline and NetAug', '--epochs 75 150 300'),
    'fig4': ('training and validation accuracy over epochs, tiny and large, with and without NetAug', '--jobs 2'),
    'lr': ('accuracy against learning rate: baseline and NetAug, each with its best rate', '--epochs 40 --jobs 2'),
}
# Figure -> help of the methods that it compares with the baseline, where one can choose them.
BESIDE_BASELINE = {
    'fig1': "beside the baseline (default: the paper's), with the default strengths of mmnetaug pretrain",
    'lr': 'beside the baseline (default: netaug). Two controls tell the larger gradient of two losses from the '
    'supernet: baseline_twice (model.base_weight=2) and netaug_halved (base_weight and alpha 0.5)',
}


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = new_parser(prog, __doc__, 'mmnetaug figures fig5 --data data/VOCdevkit --head ssdlite --dry-run')
    commands = parser.add_subparsers(dest='figure', required=True, metavar='FIGURE')
    add_accuracy(commands)
    add_fig5(commands)
    text = 'draw a figure from its plan, as its own command does at the end'
    parser_draw = commands.add_parser('draw', help=text, description=f'{text.capitalize()}.')
    parser_draw.add_argument('plan', help='such as OUT/fig5_plan.json')
    parser_draw.set_defaults(run=draw)
    return parser


def add_fig5(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        'fig5',
        help='AP of detectors against MACs: baseline, baseline + mixup, NetAug',
        description='AP of detectors against MACs: baseline, baseline + mixup, NetAug.',
        epilog='Example: mmnetaug figures fig5 --data data/VOCdevkit --head ssdlite --jobs 2 --dry-run',
    )
    parser.add_argument('--data', help='folder in VOC, COCO or YOLO layout')
    parser.add_argument(
        '--head',
        help='beginning of files in configs/det: ssdlite (one for each size), yolov3 (one, tested at each size) ...',
    )
    parser.add_argument('--arch', default='mobilenetv2_w0.35', help='of the backbone')
    parser.add_argument('--classes', nargs='+', help='only these classes (default: all)')
    parser.add_argument('--sizes', type=int, nargs='+', help='sides of the images in pixels (default: by head)')
    parser.add_argument('--epochs', type=int, help="of fine-tuning (default: the recipe's)")
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], help='every method is trained once with each'
    )
    parser.add_argument('--batch-size', type=whole(2), help='of fine-tuning; the learning rate follows')
    parser.add_argument('--lr', type=float, help='of fine-tuning, for the batch size of the config')
    parser.add_argument(
        '--train-size',
        type=int,
        help='nominal size of a detector that is trained on several (default: by the largest of --sizes)',
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], help='change any value of the detection configs')
    parser.add_argument(
        '--pretrained',
        nargs=2,
        metavar=('BASELINE', 'NETAUG'),
        help='checkpoints of backbones; {seed} in their paths stands for the seed (default: pretrain for each seed)',
    )
    parser.add_argument('--pretrain-config', metavar='ENDING', help='such as mbv2_tiny (default: by --arch)')
    parser.add_argument('--pretrain-data', help="class folders to pretrain on (default: the config's)")
    parser.add_argument('--pretrain-epochs', type=int, help="epochs of pretraining (default: the config's)")
    parser.add_argument(
        '--also',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME=PRETRAINED',
        help="further lines: the baseline's recipe from other weights, none, imagenet or a path in which {seed} stands "
        "for the seed, such as 'random start=none' KD=runs/distill_{seed}.pth",
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='also export the detectors as ONNX in int8, and draw their AP against peak memory',
    )
    add_graph_arguments(parser, 'work_dirs/fig5')
    parser.set_defaults(run=fig5)


def add_accuracy(commands: argparse._SubParsersAction) -> None:
    for figure, (text, example) in ACCURACY_FIGURES.items():
        parser = commands.add_parser(
            figure,
            help=text,
            description=f'{text[0].upper()}{text[1:]}.',
            epilog=f'Example: mmnetaug figures {figure} {example} --dry-run. Figures 1, 3, 4 and lr with the '
            'same --out share the runs that they have in common.',
        )
        networks = NETWORKS[: 1 if figure in ('fig3', 'lr') else 2]
        endings = 'what to train: endings of configs/pretrain/baseline_*.py'
        if figure != 'lr':
            endings += '; mbv2_tiny@0.4 for the learning rate 0.4 instead of that of the config'
        parser.add_argument('--networks', nargs='+', default=networks, metavar='ENDING', help=endings)
        if figure == 'lr':
            parser.add_argument(
                '--rates',
                type=float,
                nargs='+',
                default=list(RATES),
                help="in place of the config's optim_wrapper.optimizer.lr",
            )
        if figure in BESIDE_BASELINE:
            parser.add_argument('--methods', nargs='+', choices=list(methods()), help=BESIDE_BASELINE[figure])
        lengths = (
            '1, 2 and 4 times the config' if figure == 'fig3' else "the config's; one for all networks, or for each"
        )
        parser.add_argument(
            '--epochs', type=int, nargs='+', help=f'lengths of training, warm-up included (default: {lengths})'
        )
        parser.add_argument(
            '--seeds',
            type=int,
            nargs='+',
            action='append',
            help='of the runs (default: 0 1 2); given once for all networks, or once for each',
        )
        parser.add_argument(
            '--teacher', metavar='EXPORT', help='also distil from the network in this export.pth of another run'
        )
        parser.add_argument('--pretrain-data', help="class folders to train on (default: the config's)")
        parser.add_argument('--cfg-options', nargs='+', default=[], help='change any value of the configs')
        add_graph_arguments(parser, 'work_dirs/figures')
        parser.set_defaults(run=accuracy)


def add_graph_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """The options that all figures share."""
    parser.add_argument('--from-results', metavar='DIR', help='only draw again, from the JSON of the figure in DIR')
    parser.add_argument('--out', help=f'folder of figure and runs (default: {out}; with --from-results its DIR)')
    parser.add_argument(
        '--finished',
        nargs='+',
        default=[],
        metavar='DIR',
        help='folders with results of runs from elsewhere, RUN.json or RUN/result.json (tested at several sizes: '
        'RUN.test_SIZE.json): not trained again',
    )
    parser.add_argument(
        '--no-training', dest='train', action='store_false', help='draw the runs that are finished, train none'
    )
    parser.add_argument('--jobs', type=whole(1), default=1, help='runs at once, which share the cores')
    parser.add_argument('--dry-run', action='store_true', help='only show which runs are missing')
    parser.add_argument(
        '--snakemake', nargs=argparse.REMAINDER, default=[], help='the rest goes to Snakemake: --executor slurm ...'
    )
    parser.set_defaults(default_out=out)


def fig5(args: argparse.Namespace) -> None:
    for option in ('data', 'head'):
        if getattr(args, option) is None and not args.from_results:
            raise InputError(f'give --{option} (or --from-results DIR): see mmnetaug figures fig5 --help')

    from mmnetaug.workflow.fig5 import Settings, plan_fig5, redraw_fig5

    if args.from_results:
        draw_again(args, redraw_fig5)
        return
    carry_out(args, lambda *where: plan_fig5(given(Settings, args), *where))


def accuracy(args: argparse.Namespace) -> None:
    from mmnetaug.workflow.accuracy import AccuracySettings, plan_accuracy, redraw_accuracy

    if args.from_results:
        draw_again(args, partial(redraw_accuracy, args.figure))
        return
    carry_out(args, lambda *where: plan_accuracy(given(AccuracySettings, args), *where))


def given(kind: type, args: argparse.Namespace) -> Any:
    """The settings of a figure, a dataclass: what the command line gives, and defaults."""
    values = {**vars(args), 'train_options': args.cfg_options}
    names = [each.name for each in fields(kind) if values.get(each.name) is not None]
    return kind(**{name: values[name] for name in names})


def draw_again(args: argparse.Namespace, redraw: Callable[[str, str], dict[str, Any]]) -> None:
    defaults = vars(parser().parse_args([args.figure, '--from-results', args.from_results]))
    ignored = [name for name, value in defaults.items() if getattr(args, name) != value and name != 'out']
    if ignored:
        names = ', '.join('--' + {'train': 'no-training'}.get(name, name.replace('_', '-')) for name in ignored)
        raise InputError(f'--from-results draws again all that is in its JSON: leave out {names}')
    out = args.out or args.from_results
    texts = '\n'.join(comparison['text'] for comparison in redraw(args.from_results, out)['comparisons'])
    print(texts or 'nothing to compare')
    say_where(out, args.figure)


def carry_out(args: argparse.Namespace, make_plan: Callable[[Path, Path, str], 'Plan']) -> None:
    from mmnetaug.workflow.graph import run_plan

    out = Path(args.out or args.default_out)
    plan = make_plan(ROOT, out, typed_command())
    run_plan(plan, out, args.jobs, args.dry_run, args.snakemake)
    table = out / f'{args.figure}.md'
    if not args.dry_run and table.is_file():  # Snakemake may have been told to stop before
        print(table.read_text(encoding='utf-8'))
        say_where(out, args.figure)


def say_where(out: str | Path, figure: str) -> None:
    memory = f' and {figure}_memory.png, .svg' if Path(out, f'{figure}_memory.png').is_file() else ''
    print(f'{out}/{figure}.png, .svg, .md and .json{memory}')


def draw(args: argparse.Namespace) -> None:
    from mmnetaug.records import read_record
    from mmnetaug.workflow.accuracy import draw_accuracy
    from mmnetaug.workflow.fig5 import draw_fig5

    plan = read_record(args.plan, 'run the command of the figure again')
    if 'figure' not in plan:
        raise InputError(f'{args.plan} is no plan of a figure: expected OUT/fig5_plan.json, say')
    report = (draw_fig5 if plan['figure'] == 'fig5' else draw_accuracy)(plan, Path(args.plan).parent)
    print(report['headline'] or 'nothing to compare')


def main(args: argparse.Namespace) -> None:
    args.run(args)
