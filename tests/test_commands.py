"""The commands: help and errors at once, configs by name, and a wheel that works anywhere."""

import errno
import os
import re
import subprocess
import sys
import zipfile
from inspect import signature

import pytest
from helpers import ROOT

from mmnetaug import InputError, __version__
from mmnetaug.cli import make_data, run
from mmnetaug.cli.figures import parser as figures_parser
from mmnetaug.config_files import config_names, find_config, is_config
from mmnetaug.errors import run_tool

HEAVY = ('torch', 'scipy', 'sympy', 'matplotlib', 'mmdet', 'mmengine', 'cv2', 'numpy')
TOOLS = {path.stem: path for path in (ROOT / 'tools').glob('*.py')}
# What a terminal may be -> its environment.
TERMINALS = [{}, {'COLUMNS': '20', 'TERM': 'dumb'}, {'COLUMNS': '1', 'LC_ALL': 'C'}]
# Ends a process with the CPU seconds that it took, and the heavy modules that it has imported.
WATCH = """
import atexit, sys, time
took = lambda: [time.process_time(), *[name for name in {heavy} if name in sys.modules]]
atexit.register(lambda: print('TOOK', *took(), flush=True))
from mmnetaug.cli.run import main
main(sys.argv[1:])
"""


def command(*arguments, **environment):
    """Exit status, output, errors, CPU seconds and heavy imports of ``mmnetaug ...``."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), **environment}
    code = WATCH.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True, env=environment)
    out, _, took = done.stdout.rpartition('TOOK ')
    seconds, *imported = took.split()
    return done.returncode, out, done.stderr, float(seconds), imported


def sub_commands():
    figures = [('figures', figure) for figure in ('fig1', 'fig3', 'fig4', 'fig5', 'draw')]
    return [(name,) for name in run.COMMANDS] + figures + [('make-data', kind) for kind in make_data.KINDS]


@pytest.mark.parametrize('names', [(), *sub_commands()], ids=' '.join)
def test_help_comes_at_once_on_any_terminal(names):
    """Within a second of CPU, by the argument definitions alone."""
    terminal = TERMINALS[len(' '.join(names)) % len(TERMINALS)]
    status, out, errors, seconds, imported = command(*names, '--help', **terminal)
    assert status == 0 and not errors and out.startswith('usage: mmnetaug'), errors
    assert seconds < 1 and not imported


@pytest.mark.parametrize(
    ('typed', 'message'),
    [
        ('trian', 'no command trian; did you mean train?'),
        ('xyz', 'no command xyz: expected one of check, split, '),
        ('train ssdlite_netaug_vco', 'no config at ssdlite_netaug_vco; did you mean ssdlite_netaug_voc?'),
        ('train configs/det/netaug.yaml', 'no config at configs/det/netaug.yaml'),
        ('train ssdlite_netaug_voc --dataroot data', 'arguments: --dataroot data; did you mean --data-root?'),
        ('fit --lr 0.1', 'error: unrecognized arguments: --lr 0.1\n'),
        ('figures fig5 --heads ssdlite', 'arguments: --heads ssdlite; did you mean --head?'),
        ('train --classes cat ssdlite_netaug_voc', 'required: config: put it first (mmnetaug train CONFIG ...), as'),
        ('--epochs 3 train ssdlite_netaug_voc', 'options follow the command: mmnetaug train ... --epochs'),
        ('train netaug_mbv2', 'netaug_mbv2 is a config of `mmnetaug pretrain`: expected one of configs/det'),
        ('pretrain ssdlite_netaug_voc', 'ssdlite_netaug_voc is a config of `mmnetaug train`'),
        ('pretrain netaug_mcunett', 'no config at netaug_mcunett; did you mean netaug_mcunet?'),
        ('pretrain netaug_mbv2 --epochs 3 --schedule 2x', '--epochs 3 and --schedule 2x: give one of the two'),
        ('test ssdlite_netaug_voc', 'expected a checkpoint, or a config and a checkpoint'),
        ('benchmark ssdlite_voc run/export.pth', 'no config at ssdlite_voc; did you mean ssdlite_'),
        ('fit --board RP2041', 'expected one of STM32F746, STM32H743, nRF52840, RP2040, or --sram'),
        ('fit --sram 512K --arch mobilenetv9', "unknown architecture 'mobilenetv9'"),
        ('train ssdlite_netaug_voc --size 1 2 3', '--size 1 2 3: expected one side, or width and height'),
        ('train ssdlite_netaug_voc --arch mobilenetv9', "unknown architecture 'mobilenetv9'"),
        ('train ssdlite_netaug_voc --batch-size 1', '--batch-size: 1: expected a whole number of at least 2'),
        ('train ssdlite_netaug_voc --epochs many', '--epochs: many: expected a whole number of at least 1'),
        ('train ssdlite_netaug_voc --train-img a', '--train-img without --train-ann'),
        ('export run/export.pth --format caffe', "invalid choice: 'caffe'"),
        ('check', 'no data named: expected a folder'),
        ('check data --data-root other', 'data and --data-root other: expected one folder'),
        ('train ssdlite_netaug_voc --lr -1', '--lr: -1: expected a number above 0'),
        ('plot-curves work_dirs/a', 'work_dirs/a: expected NAME=DIR'),
        ('evaluate-boxes boxes.json', 'no data named: expected --data-root'),
        ('figures fig5', 'give --data (or --from-results DIR)'),
        ('plot-curves a=run --out curves.txt', '--out curves.txt: expected a name that ends in .png, .svg'),
        ('benchmark a.pth b.pth --names a a', 'a a for 2 checkpoints: expected a name of its own for each'),
        ('speed --growth --repeats 0', '--repeats: 0: expected a whole number of at least 1'),
        ('speed --start voc --against nowhere', '--against nowhere: expected the folder of another checkout'),
        ('speed --batch 1', '--batch 1: normalisation needs two images to train on'),
        ('speed --freeze 0 --batch 2 4', '--freeze measures one network: expected one --arch and --batch'),
        ('speed --evaluation 96 --size 128 --batch 8', '--size, --batch: --evaluation takes --arch'),
        ('speed --against .', '--against is for --start: give both, or leave it out'),
        ('speed --growth --inference 96', '--inference: --growth takes --repeats'),
        ('speed --arch mobilenetv9', "unknown architecture 'mobilenetv9'"),
    ],
)
def test_wrong_arguments_are_told_at_once(typed, message):
    status, out, errors, seconds, imported = command(*typed.split())
    assert status == 2 and message in errors and not out and 'Traceback' not in errors, errors
    assert seconds < 1 and not imported


@pytest.mark.parametrize(
    ('number', 'advice'),
    [
        (errno.ENOSPC, 'Make room'),
        (errno.EACCES, 'You may not'),
        (errno.EISDIR, 'the name of a file'),
        (errno.ENOENT, 'check the path'),
        (errno.EEXIST, 'give a folder'),
    ],
)
def test_a_disk_or_a_file_at_fault_is_told_in_one_line(number, advice, capsys):
    def fails():
        raise OSError(number, os.strerror(number), 'run/export.pth')

    with pytest.raises(SystemExit) as ended:
        run_tool(fails)
    message = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and message.startswith('error: run/export.pth: ') and advice in message
    assert len(message.splitlines()) == 1


def test_version():
    assert command('--version')[:2] == (0, f'mmnetaug {__version__}\n')


def test_a_script_for_each_command():
    """``tools/*.py`` are the same commands under the names that they have in MMDetection."""
    called = [re.search(r"run_command\('(.+)'\)", path.read_text())[1] for path in TOOLS.values()]
    assert sorted(called) == sorted(run.COMMANDS)
    done = subprocess.run(
        [sys.executable, TOOLS['pretrain_cls'], 'nothing'],
        capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2 and 'no config at nothing' in done.stderr


def test_defaults_in_help_are_those_of_the_functions():
    from mmnetaug.datasets.preparation.generate import generate_scenes
    from mmnetaug.workflow.fig5 import Settings

    arguments = signature(generate_scenes).parameters
    assert (arguments['scale'].default, arguments['clutter'].default) == (make_data.OBJECT_SCALE, make_data.CLUTTER)
    args = figures_parser().parse_args(['fig5'])
    assert (args.arch, tuple(args.seeds)) == (Settings.arch, Settings.seeds)


@pytest.mark.parametrize('kind', ['det', 'pretrain'])
def test_a_config_by_its_name(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in config_names(kind):
        file = ROOT / f'configs/{kind}/{name}.py'
        assert find_config(name, kind) == find_config(f'{name}.py', kind) == find_config(file, kind) == file
        assert is_config(name) and is_config(str(file))
    (tmp_path / name).touch()  # a file of the user's has precedence
    assert find_config(name, kind).resolve() == tmp_path / name
    with pytest.raises(InputError, match='no config at elsewhere/'):
        find_config(f'elsewhere/{name}', kind)


def test_checkpoints_are_no_configs():
    assert not any(
        map(is_config, ['export.pth', 'run/export.safetensors', 'a.onnx', 'work_dirs/run/epoch_3', 'b.tflite'])
    )


def test_a_wheel_carries_what_it_needs(tmp_path):
    """Installed anywhere, it finds its configs."""
    pytest.importorskip('setuptools', minversion='70.1')  # which builds wheels by itself
    copy = tmp_path / 'mmnetaug'
    copy.mkdir()
    for part in ('mmnetaug', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'LICENSE', 'MANIFEST.in'):
        (copy / part).symlink_to(ROOT / part)
    build = [
        sys.executable,
        '-c',
        'import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))',
    ]
    subprocess.run([*build, str(tmp_path)], cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob('*.whl')
    assert wheel.name.startswith(f'mmnetaug-{__version__}-')
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / 'site')
    package = tmp_path / 'site/mmnetaug'
    assert (package / 'py.typed').is_file() and (package / 'workflow/Snakefile').is_file()
    for folder in ('configs', 'tools'):
        theirs = {path.relative_to(ROOT) for path in (ROOT / folder).rglob('*.py')}
        assert {path.relative_to(package / '.mim') for path in (package / '.mim' / folder).rglob('*.py')} == theirs
    ask = 'from mmnetaug.config_files import find_config; print(find_config("netaug_mbv2", "pretrain"))'
    done = subprocess.run(
        [sys.executable, '-c', ask],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(tmp_path / 'site')},
    )  # fmt: skip
    assert done.stdout.strip() == str(package / '.mim/configs/pretrain/netaug_mbv2.py'), done.stderr
