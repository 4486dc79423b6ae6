"""README and docs/: each command is parsed, and run where that is fast; each snippet runs; links lead to files.

CONTRIBUTING.md says what the comments above blocks mean.
"""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, detector_config, sample, write_coco, write_image, write_photographs
from mmengine.config import Config

import mmnetaug
from mmnetaug import Detector, InputError, archs
from mmnetaug.apis.export import export
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import write_export
from mmnetaug.cli.run import COMMANDS, main
from mmnetaug.config_files import find_config
from mmnetaug.registry import MODELS

PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md', *sorted((ROOT / 'docs').glob('*.md'))]
BLOCK = re.compile(r'^(?:<!-- (\w+) -->\n)?```(\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
# Marks of each language's blocks; text is no program.
MARKS = {
    'bash': {'run', 'long'},
    'python': {'run', 'detector', 'config', 'network', 'onnx', 'tflite'},
    'html': {'onnx'},
    'text': {''},
}
# Script of tools/ -> command, where the two differ.
COMMAND_OF = {'train': 'train', 'test': 'test', 'pretrain_cls': 'pretrain'}
# Programs of others.
OTHERS = {'cp', 'find', 'pip', 'python', 'mim', 'odl', '.', 'pre-commit', 'tensorboard'}


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    place: str
    mark: str
    language: str
    text: str

    def commands(self):
        """Its commands, as lists of words."""
        lines = self.text.replace('\\\n', ' ').splitlines()
        parts = [part for line in lines for part in re.split(r'\s&&\s', line)]
        return [words for part in parts if (words := shlex.split(part, comments=True))]


def blocks(path):
    text = path.read_text(encoding='utf-8')
    for found in BLOCK.finditer(text):
        line = text[: found.start(2)].count('\n') + 1
        yield Block(f'{path.relative_to(ROOT)}:{line}', found[1] or '', found[2], found[3])


BLOCKS = [block for path in PAGES for block in blocks(path)]
TYPED = [
    pytest.param(words, id=f'{block.place} {" ".join(words)[:60]}')
    for block in BLOCKS
    if block.language == 'bash'
    for words in block.commands()
]


def marked(*marks, language):
    return [pytest.param(b, id=b.place) for b in BLOCKS if b.language == language and b.mark in marks]


# --- commands ---


def test_blocks_say_what_they_are():
    for block in BLOCKS:
        assert block.language in MARKS, f'{block.place}: a block of {block.language}'
        assert block.mark in MARKS[block.language], f'{block.place}: expected one of {MARKS[block.language]} above'
    assert sum(path.read_text().count('```') for path in PAGES) == 2 * len(BLOCKS), 'no block is missed'


def parse(name, *arguments):
    """What a command makes of its arguments; a wrong option or choice ends the test, and so does an unknown config."""
    args = import_module(f'mmnetaug.cli.{name.replace("-", "_")}').parser(name).parse_args(arguments)
    if name in ('train', 'pretrain'):
        find_config(args.config, {'train': 'det'}.get(name, name))
    for ending in getattr(args, 'networks', None) or []:
        find_config(f'baseline_{ending.partition("@")[0]}', 'pretrain')
    return args


@pytest.mark.parametrize('words', TYPED)
def test_commands_are_right(words):
    program, *arguments = words
    scripts = [word for word in words if word.startswith('tools/')]
    if program == 'mmnetaug':
        parse(*arguments)
    elif scripts:
        parse(COMMAND_OF[Path(scripts[0]).stem], *words[words.index(scripts[0]) + 1 :])
    elif program == 'make':
        targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
        assert {word for word in arguments if '=' not in word} <= set(targets)
    elif program == 'pip' and '-e' in arguments:
        extra = re.search(r'\[(\w+)\]', arguments[-1])
        assert extra is None or f"'{extra[1]}': [" in (ROOT / 'setup.py').read_text()
    else:
        assert program in OTHERS, f'{program} is not among {OTHERS}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What a reader has: data in several layouts, the results of the repository, and an export of a classifier."""
    folder = tmp_path_factory.mktemp('reader')
    write_photographs(folder / 'data/mine')
    write_photographs(folder / 'data/unsplit')
    for path in (folder / 'data/unsplit/ImageSets/Main').iterdir():
        path.unlink()
    for part, image in [('train2017', 'a'), ('val2017', 'b')]:
        write_coco(folder / 'data/coco', part, {f'{part}.jpg': [(1, 5, 5, 30, 30), (2, 10, 10, 40, 30)]})
        shutil.copy(folder / f'data/mine/JPEGImages/{image}.jpg', folder / f'data/coco/{part}/{part}.jpg')
    (folder / 'results').symlink_to(ROOT / 'results')
    write_image(folder / 'photograph.jpg')
    write_image(folder / 'another.jpg')
    write_export(
        folder / 'export.pth', mmnetaug.build_network('mobilenetv2_tiny', 10).state_dict(), {'arch': 'mobilenetv2_tiny'}
    )
    return folder


@pytest.mark.parametrize('block', marked('run', language='bash'))
def test_commands_run(folder, monkeypatch, capsys, block):
    monkeypatch.chdir(folder)
    for words in block.commands():
        assert words[0] == 'mmnetaug'
        try:
            main(words[1:])
        except SystemExit as end:
            assert not end.code, capsys.readouterr()
        assert capsys.readouterr().out.strip()


# --- Python ---


def execute(block):
    names = {'__name__': 'snippet'}
    exec(compile(block.text, block.place, 'exec'), names)
    return names


@pytest.mark.parametrize('block', marked('run', language='python'))
def test_snippets_run(folder, monkeypatch, block):
    monkeypatch.chdir(folder)
    names = execute(block)
    if 'tiny' in names:
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(names['tiny'].eval()(image), names['aug'].eval()(image))


@pytest.mark.parametrize('block', marked('detector', language='python'))
def test_a_detector_in_a_program(detector, monkeypatch, block):
    monkeypatch.chdir(detector)
    names = execute(block)
    boxes, scores, labels, texts = (names[name] for name in ('boxes', 'scores', 'labels', 'names'))
    assert boxes.shape == (len(scores), 4) and labels.shape == scores.shape and len(texts) == len(scores)
    assert len(names['several']) == 2


@pytest.mark.parametrize('block', marked('onnx', language='python'))
def test_a_file_in_a_program_of_others(detector, tmp_path, monkeypatch, block):
    pytest.importorskip('onnxruntime')
    export(detector / 'work_dirs/run/export.pth', 'onnx', tmp_path / 'export.onnx', evaluate=False)
    shutil.copy(detector / 'data/mine/JPEGImages/a.jpg', tmp_path / 'photograph.jpg')
    monkeypatch.chdir(tmp_path)
    names = execute(block)
    truth = Detector('export.onnx')('photograph.jpg')
    assert len(truth.boxes) and (names['labels'] == truth.labels).all()
    assert np.abs(names['boxes'] - truth.boxes).max() < 1e-3 and np.abs(names['scores'] - truth.scores).max() < 1e-6


# A browser, and onnxruntime-web, of which a page sees this much: what they give it was computed by others before.
BROWSER = """
import { readFileSync } from 'node:fs'
const said = JSON.parse(readFileSync('said.json'))
globalThis.document = { querySelector: () => ({}) }
globalThis.OffscreenCanvas = class {
  constructor(...size) { this.size = size }
  getContext() { return this }
  drawImage(image, ...place) { this.drawn = `${place}` === `0,0,${this.size}` }
  getImageData(...place) { return { data: this.drawn && `${place}` === `0,0,${this.size}` ? said.rgba : [] } }
}
export class Tensor {
  constructor(type, data, shape) { Object.assign(this, { type, data, shape }) }
}
export const InferenceSession = {
  create: async () => ({ inputMetadata: [{ shape: said.shape }], run: async (inputs) => {
    const { type, data, shape } = inputs[said.input]
    if (type !== 'float32' || `${shape}` !== `${said.shape}`) throw new Error(`${type} ${shape}`)
    if (`${Array.from(data)}` !== `${said.pixels}`) throw new Error('pixels')
    return said.outputs
  } }),
}
"""


@pytest.mark.skipif(not shutil.which('node'), reason='needs Node.js')
@pytest.mark.parametrize('block', marked('onnx', language='html'))
def test_a_file_in_a_browser(detector, tmp_path, block):
    onnxruntime = pytest.importorskip('onnxruntime')
    export(detector / 'work_dirs/run/export.pth', 'onnx', tmp_path / 'export.onnx', evaluate=False)
    session = onnxruntime.InferenceSession(tmp_path / 'export.onnx')
    image = cv2.imread(str(detector / 'data/mine/JPEGImages/a.jpg'))
    (given,) = session.get_inputs()
    pixels = cv2.resize(image, given.shape[:1:-1])
    planes = pixels[None, :, :, ::-1].transpose(0, 3, 1, 2).astype('float32')
    found = zip(session.get_outputs(), session.run(None, {given.name: planes}))
    said = {
        'input': given.name,
        'shape': given.shape,
        'rgba': cv2.cvtColor(pixels, cv2.COLOR_BGR2RGBA).flatten().tolist(),
        'pixels': planes.flatten().tolist(),
        'outputs': {output.name: {'data': values.flatten().tolist()} for output, values in found},
    }
    (tmp_path / 'said.json').write_text(json.dumps(said))
    (script,) = re.findall(r'<script type="module">\n(.*)</script>', block.text, re.DOTALL)
    height, width = image.shape[:2]
    called = f'console.log(JSON.stringify([classes, await detect({{ width: {width}, height: {height} }})]))'
    (tmp_path / 'page.mjs').write_text(script + called)
    (tmp_path / 'ort.wasm.min.mjs').write_text(BROWSER)
    done = subprocess.run(['node', 'page.mjs'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    classes, objects = json.loads(done.stdout)
    truth = Detector(tmp_path / 'export.onnx')(image)
    assert len(truth.boxes) and [each['name'] for each in objects] == [classes[label] for label in truth.labels]
    assert np.abs([each['box'] for each in objects] - truth.boxes).max() < 1e-3
    assert np.abs([each['score'] for each in objects] - truth.scores).max() < 1e-6


@pytest.fixture(scope='module')
def detector(folder):
    """``folder`` with the export of a detector, which was trained for a moment."""
    config = detector_config(folder / 'data/mine', folder / 'work_dirs/run', epochs=1)
    train_detector(config)
    return folder


@pytest.mark.parametrize('block', marked('config', language='python'))
def test_a_config_with_another_head(tmp_path, block):
    path = tmp_path / 'mine.py'
    path.write_text(block.text.replace("'./", f"'{ROOT}/configs/det/"))
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    losses = model.loss(torch.randn(2, 3, 96, 96), [sample(96, [[10, 10, 50, 50]], [3])] * 2)
    assert all(torch.as_tensor(value).isfinite().all() for value in losses.values())


@pytest.mark.parametrize('block', marked('network', language='python'))
def test_a_network_of_ones_own(monkeypatch, block):
    monkeypatch.setattr(archs, 'NETWORKS', dict(archs.NETWORKS))
    execute(block)
    image = torch.randn(1, 3, 96, 96)
    aug = mmnetaug.NetAug('my_net', 10).eval()
    with torch.no_grad():
        assert torch.equal(aug.export()(image), aug(image))
    assert [level.shape[-1] for level in mmnetaug.TinyNet('my_net')(image)] == [12, 6, 3]


@pytest.mark.parametrize('command', ['fit', 'pretrain', 'train', 'export'])
def test_a_network_of_ones_own_by_its_module(tmp_path, monkeypatch, command):
    (block,) = (block for block in BLOCKS if block.mark == 'network')
    module = f'network_for_{command}'
    (tmp_path / f'{module}.py').write_text(f'{block.text}\nNETWORKS["{module}"] = my_net')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(archs, 'NETWORKS', dict(archs.NETWORKS))
    if command == 'export':
        told = {'arch': module, 'classes': ['cat', 'dog'], 'input_size': 32}
        write_export(tmp_path / 'own.pth', mmnetaug.build_network('mobilenetv2_nano', 2), told)
    arguments = {
        'fit': ['--sram', '1M', '--head', 'ssdlite', '--size', '96', '--out', tmp_path / 'fit.json', '--arch', module],
        'pretrain': ['netaug_mbv2', '--data-root', tmp_path / 'nowhere', '--arch', module],
        'train': ['ssdlite_netaug_voc', '--data-root', tmp_path / 'nowhere', '--arch', module, '--pretrained', 'none'],
        'export': [tmp_path / 'own.pth', '--format', 'onnx'],
    }[command]
    tool = import_module(f'mmnetaug.cli.{command}')
    args = tool.parser().parse_args([*map(str, arguments)])
    with pytest.raises(InputError, match=f"unknown architecture '{module}'.*--custom-imports MODULE"):
        tool.main(args)
    args.custom_imports = [module]
    if command == 'fit':
        tool.main(args)
        assert json.loads((tmp_path / 'fit.json').read_text())['detectors'][0]['arch'] == module
        return
    with pytest.raises(InputError, match=r'no (images|data set) at .*nowhere|has weights of mobilenetv2_nano'):
        tool.main(args)


def test_the_package_is_found_above_the_clone(tmp_path):
    """A folder of the same name without ``__init__.py`` must not hide it."""

    def found(folder):
        environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        command = [sys.executable, '-c', 'import mmnetaug; print(mmnetaug.__file__)']
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment).stdout.strip()

    here = str(ROOT / 'mmnetaug/__init__.py')
    if found('/') != here:
        pytest.skip('another copy of the package is installed here, or none')
    (tmp_path / 'mmnetaug').symlink_to(ROOT)
    assert found(tmp_path) == here


# --- text ---


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = re.sub(r'```.*?```', '', path.read_text(encoding='utf-8'), flags=re.DOTALL)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'(https?|mailto):', target):
            continue
        file, _, anchor = target.partition('#')
        page = path.parent / file if file else path
        assert page.exists(), f'{path.name}: {target}'
        if anchor:
            headings = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), re.MULTILINE)
            assert anchor in [slug(heading) for heading in headings], f'{path.name}: {target}'


def slug(heading):
    """The anchor of a heading, as GitHub and MkDocs make it where both agree."""
    return re.sub(r'\s+', '-', re.sub(r'[^\w\s-]', '', heading.lower()).strip())


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.name)
def test_nothing_that_others_do_not_have(path):
    text = path.read_text(encoding='utf-8')
    assert '../shared' not in text and not re.search(r'(?<![\w.])/(work|tmp|home|root)/', text)
    # Every file of ours that is named in the text is there.
    for name in re.findall(r'`((?:mmnetaug|configs|tools|tests|results|docs)/[\w/.-]+\.\w+)`', text):
        if 'NAME' not in name:
            assert (ROOT / name).exists(), f'{path.name}: {name}'


def test_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 150


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text()
    for path in (ROOT / 'docs').glob('*.md'):
        assert f': {path.name}\n' in navigation


def test_the_reference_of_commands_is_that_of_their_parsers():
    reference = runpy.run_path(str(ROOT / 'docs/write_commands.py'))['reference']()
    page = (ROOT / 'docs/commands.md').read_text(encoding='utf-8')
    assert page == reference, 'python docs/write_commands.py writes docs/commands.md'
    assert all(f'## mmnetaug {name}\n' in page for name in COMMANDS)
