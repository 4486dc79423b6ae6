"""Accuracy of classifiers, of whatever kind of file: the truth is the run's own validation, and a loop by hand."""

import json

import cv2
import numpy as np
import pytest
import torch
from helpers import pretrain_config

from mmnetaug import InputError, build_network
from mmnetaug.apis.accuracy import classifier_config, is_classifier
from mmnetaug.apis.accuracy import test_classifier as evaluate_classifier
from mmnetaug.apis.export import export
from mmnetaug.apis.overrides import gray_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.checkpoint import load_network, write_export
from mmnetaug.cli import test as command
from mmnetaug.cli.run import run_command
from mmnetaug.normalisation import IMAGENET, UNIT_RANGE


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Three classes of colours that overlap, so that no network is right about all images."""
    folder, rng = tmp_path_factory.mktemp('tree'), np.random.default_rng(0)
    for split, count in (('train', 16), ('val', 20)):
        for level, name in enumerate(('blue', 'green', 'red')):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                mean = rng.uniform(60, 200, 3) + 40 * np.eye(3)[level]
                image = np.clip(rng.normal(mean, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(place / f'{number}.png'), image)
    return folder


def measured(checkpoint, tree, tmp_path, *options):
    out = tmp_path / 'result.json'
    where = ['--data-root', str(tree), '--work-dir', str(tmp_path / 'logs'), '--out', str(out)]
    run_command('test', [str(checkpoint), *where, '--workers', '0', *options])
    return json.loads(out.read_text())


@pytest.mark.parametrize('gray', [False, True], ids=['colour', 'gray'])
def test_as_the_run_measured_it_and_in_onnx(tree, tmp_path, gray, capfd):
    config = pretrain_config(tree, tmp_path / 'run', 'baseline_mbv2_nano_cifar100', epochs=2 if gray else 8)
    config.merge_from_dict(gray_options(config) if gray else {})
    run, checkpoint = pretrain(config), tmp_path / 'run/export.pth'
    assert gray or run['top1'] not in (0, pytest.approx(100 / 3), 100)
    found = measured(checkpoint, tree, tmp_path)
    for name in ('top1', 'arch', 'input_size', 'num_classes', 'seed', 'macs', 'params', 'peak_memory', 'weight_bytes'):
        assert found[name] == run[name], name
    assert f'top-1 {run["top1"]:.2f}%' in capfd.readouterr().out
    whole = measured(checkpoint, tree, tmp_path, '--cfg-options', 'test_dataloader.dataset.split=train')
    assert whole['top1'] == run['train_eval_top1']

    made = export(checkpoint, 'onnx', int8=not gray, data_root=str(tree))
    assert made['before']['top1'] == run['top1']
    assert made['after']['top1'] == pytest.approx(run['top1'], abs=0 if gray else 10)
    found = made['after']
    assert all(found[name] == run[name] for name in ('arch', 'seed', 'input_size', 'num_classes', 'macs', 'params'))


@torch.no_grad()
def by_hand(network, tree, normalisation, size):
    """Top-1 on images of this size."""
    mean, std = (np.array(normalisation[name], np.float32) for name in ('mean', 'std'))
    right = []
    for label, name in enumerate(('blue', 'green', 'red')):
        for path in (tree / 'val' / name).iterdir():
            image = cv2.imread(str(path)).astype(np.float32)
            image = (image[..., ::-1] if normalisation['bgr_to_rgb'] else image) - mean
            logits = network(torch.from_numpy((image / std).transpose(2, 0, 1)[None].copy()))
            right.append(logits.argmax().item() == label)
    return 100 * np.mean(right)


@pytest.mark.parametrize('normalisation', [None, UNIT_RANGE, {**IMAGENET, 'bgr_to_rgb': False}], ids=str)
def test_weights_that_say_how_pixels_were_normalised_or_nothing(tree, tmp_path, normalisation):
    torch.manual_seed(0)
    network = build_network('mobilenetv2_nano', 3)
    path = tmp_path / 'weights.pth'
    if normalisation is None:
        torch.save(network.state_dict(), path)
    else:
        told = {'arch': 'mobilenetv2_nano', 'recipe': {'model': {'data_preprocessor': normalisation}}}
        write_export(path, network, told)
    expected = {
        str(each): by_hand(network.eval(), tree, each, 32)
        for each in (IMAGENET, UNIT_RANGE, {**IMAGENET, 'bgr_to_rgb': False})
    }
    found = measured(path, tree, tmp_path, '--size', '32')
    assert found['top1'] == pytest.approx(expected[str(normalisation or IMAGENET)])
    assert found['input_size'] == 32 and found['arch'] == 'mobilenetv2_nano'


def test_weights_of_another_library(shared, tree, tmp_path):
    """Ten classes there, of which three are kept."""
    state = torch.load(shared / 'reference/timm_mobilenetv2_035.pth')
    state = {name: each[:3] if name.startswith('classifier.') else each for name, each in state.items()}
    torch.save(state, tmp_path / 'timm.pth')
    network = load_network(tmp_path / 'timm.pth', 3).eval()
    assert is_classifier(tmp_path / 'timm.pth')
    found = measured(tmp_path / 'timm.pth', tree, tmp_path, '--size', '32')
    assert found['top1'] == pytest.approx(by_hand(network, tree, IMAGENET, 32))
    assert found['arch'] == 'mobilenetv2_w0.35'


@pytest.mark.parametrize(
    ('options', 'meta', 'message'),
    [
        ([], {}, r'a classifier, and names no data: expected --data-root DIR, with DIR/val/CLASS/\*\.jpg'),
        (['--test-ann', 'a.json'], {}, r'is a classifier: expected --data-root DIR'),
        (['--data-root', 'TREE'], {'input_size': None}, r'does not say for images of which size it is: give --size'),
        (['--data-root', 'TREE', '--size', '8'], {}, r'image size is 8: expected a whole number of at least 16'),
        (['--data-root', 'TREE', '--size', '32', '64'], {}, r'image size is \(32, 64\): expected a whole number'),
        (['--data-root', 'TREE/val'], {}, r'no images at .*val/val. Expected one folder a class'),
        (
            ['--data-root', 'TREE'],
            {'classes': ['blue', 'green', 'pink']},
            r'knows other classes than .*val has \(in only one of them: pink, red\): expected the same',
        ),
        (
            ['--data-root', 'TREE'],
            {'arch': 'mobilenetv2_w0.5'},
            r'has weights of mobilenetv2_nano, not of mobilenetv2_w0',
        ),
    ],
)
def test_what_cannot_be_measured(tree, tmp_path, options, meta, message):
    told = {'arch': 'mobilenetv2_nano', 'classes': ['blue', 'green', 'red'], 'input_size': 32}
    write_export(tmp_path / 'export.pth', build_network('mobilenetv2_nano', 3), {**told, **meta})
    options = [option.replace('TREE', str(tree)) for option in options]
    args = command.parser().parse_args([str(tmp_path / 'export.pth'), '--work-dir', str(tmp_path / 'logs'), *options])
    with pytest.raises(InputError, match=message):
        command.main(args)


def test_weights_of_other_classes_or_of_none(tree, tmp_path):
    network = build_network('mobilenetv2_nano', 5)
    write_export(tmp_path / 'five.pth', network, {'arch': 'mobilenetv2_nano'})
    with pytest.raises(InputError, match=r'five.pth knows 5 classes and .*val has 3$'):
        classifier_config(tmp_path / 'five.pth', tree, 32)
    state = {name: each for name, each in network.state_dict().items() if not name.startswith('classifier.')}
    write_export(tmp_path / 'none.pth', state, {'arch': 'mobilenetv2_nano', 'num_classes': None})
    with pytest.raises(InputError, match=r'none.pth has no classifier: it starts a network \(--pretrained\)'):
        classifier_config(tmp_path / 'none.pth', tree, 32)


def test_an_artefact_has_one_size(tree, tmp_path):
    told = {'arch': 'mobilenetv2_nano', 'classes': ['blue', 'green', 'red'], 'input_size': 32}
    write_export(tmp_path / 'export.pth', build_network('mobilenetv2_nano', 3), told)
    export(tmp_path / 'export.pth', 'onnx')
    with pytest.raises(InputError, match=r'takes images of 32x32 pixels alone: leave out --size'):
        classifier_config(tmp_path / 'export.onnx', tree, 64)
    config = classifier_config(tmp_path / 'export.onnx', tree, 32)
    config.launcher = 'pytorch'
    with pytest.raises(InputError, match=r'is tested by one process: leave out --launcher'):
        evaluate_classifier(config, tmp_path / 'export.onnx')
