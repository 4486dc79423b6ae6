"""Detectors end to end: train, resume, test, infer; and what wrong input gets."""

import csv
import json
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, Killed, detector_config, open_below, write_coco, write_image, write_voc
from mmengine.evaluator import BaseMetric

from mmnetaug import InputError, build_network
from mmnetaug.apis.config import read_config
from mmnetaug.apis.inference import infer
from mmnetaug.apis.overrides import arch_options, check_pretrained, freeze_options, pretrained_options
from mmnetaug.apis.test import checkpoint_config, set_test_data
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.test import testing_runner as runner_of_a_test
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import read_detector, write_export
from mmnetaug.engine.runner import training_runner
from mmnetaug.registry import DATASETS, METRICS

CONFIG = 'configs/det/ssdlite_netaug_voc.py'


def evaluate(checkpoint, work_dir, config=None, data_root=None):
    config = checkpoint_config(checkpoint, config and read_config(ROOT / config, 'det'))
    if data_root:
        set_test_data(config, str(data_root))
    config.work_dir = str(work_dir)
    return evaluate_detector(config, checkpoint)


@pytest.mark.parametrize('head', ['ssdlite', 'yolov3'])
def test_train_test_infer(voc, tmp_path, head):
    options = {'model__test_cfg__score_thr': 0.0, 'model__test_cfg__conf_thr': 0.0}
    run = detector_config(voc, tmp_path / 'run', f'{head}_netaug_voc', **options)
    result = train_detector(run, command='mmnetaug train ...')
    assert result['head'].lower() == head
    assert json.loads((tmp_path / 'run' / 'result.json').read_text()) == result
    assert 0 <= result['AP50_area'] <= 1 and 0 <= result['AP50_11point'] <= 1
    assert (result['classes'], result['train_images'], result['test_images']) == (['cat', 'dog'], 4, 2)
    assert 0 < result['head_share'] < 1 and result['command'] == 'mmnetaug train ...'

    # a checkpoint brings network, image size, classes and data; a config or a folder brings other data
    last = str(tmp_path / 'run' / 'epoch_2.pth')
    shutil.copytree(voc, tmp_path / 'copy')
    for number, (checkpoint, config, data_root) in enumerate(
        [(result['checkpoint'], None, None), (last, None, tmp_path / 'copy'), (last, CONFIG, voc)]
    ):
        tested = evaluate(checkpoint, tmp_path / f'test{number}', config, data_root)
        for name in ('AP50_11point', 'AP50_area', 'macs', 'params', 'head', 'arch', 'size', 'seed'):
            assert tested[name] == result[name]
    assert not open_below(tmp_path)

    (voc / 'JPEGImages' / 'not_one.jpg').write_text('no picture')
    for checkpoint in (result['checkpoint'], last):
        pictures = infer(voc / 'JPEGImages', checkpoint, tmp_path / 'out', score_thr=0.0)
        assert [path.name for path in pictures] == [f'{name}.jpg' for name in 'abcdef']
        assert cv2.imread(str(pictures[0])).shape == (48, 64, 3)
        assert (cv2.imread(str(pictures[0])) != 128).any(), 'boxes are drawn on the grey image'
        shutil.rmtree(tmp_path / 'out')


@pytest.fixture
def coco(tmp_path):
    images = {f'{name}.jpg': [(1, 10, 10, 20, 20), (2, 30, 20, 30, 24)] for name in 'abcd'}
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path / 'coco', split, images)
    return tmp_path / 'coco'


def test_resume(coco, tmp_path):
    kill = {'default_hooks__kill': {'type': 'mmnetaug.KillAfterFirstEpoch'}}
    with pytest.raises(Killed):
        train_detector(detector_config(coco, tmp_path / 'run', **kill))
    with pytest.raises(InputError, match='Continue it with --resume'):
        train_detector(detector_config(coco, tmp_path / 'run'))
    resumed = train_detector(detector_config(coco, tmp_path / 'run', resume=True))
    assert Path(resumed['checkpoint']).is_file() and resumed['epochs'] == 2
    logs = [json.loads(line) for path in (tmp_path / 'run').rglob('scalars.json') for line in path.open()]
    assert sorted(log['epoch'] for log in logs if 'loss' in log) == [1, 2]


def test_coco_layout_with_a_voc_config(coco, tmp_path):
    result = train_detector(detector_config(coco, tmp_path / 'run', epochs=1))
    assert 0 <= result['AP'] <= result['AP50'] <= 1


def test_one_class(coco, voc, tmp_path):
    result = train_detector(detector_config(voc, tmp_path / 'run', epochs=1, classes=['dog']))
    assert result['classes'] == ['dog'] and 0 <= result['AP50_area'] <= 1
    result = train_detector(detector_config(coco, tmp_path / 'run_coco', epochs=1, classes=['dog']))
    assert result['classes'] == ['dog'] and 0 <= result['AP'] <= result['AP50'] <= 1
    # 30 x 24 pixels are small, and nothing else is there
    assert result['AP_small'] is not None and result['AP_medium'] is None and result['AP_large'] is None


def test_boxes_far_smaller_than_a_pixel(tmp_path):
    """One pixel of 2000, in the middle and in the corners, is a twentieth of a pixel at 96."""
    specks = [('cat', x, y, x + 1, y + 1, 0) for x, y in [(1, 1), (1000, 900), (1999, 1599)]]
    write_voc(tmp_path / 'voc', dict.fromkeys('abcd', specks), {'trainval': list('abc'), 'test': ['d']})
    for name in 'abcd':
        write_image(tmp_path / f'voc/JPEGImages/{name}.jpg', 2000, 1600)
    settings = detector_config(tmp_path / 'voc', tmp_path / 'run', randomness__seed=0)
    runner = training_runner(settings)
    model, smallest = runner.model, 1.0
    for _ in range(8):
        for batch in runner.train_dataloader:
            batch = model.data_preprocessor(batch, training=True)
            for sample in batch['data_samples']:
                boxes = sample.gt_instances.bboxes
                sides = boxes[:, 2:] - boxes[:, :2]
                assert len(boxes) and (sides > 0).all()
                smallest = min(smallest, sides.min().item())
            loss, _ = model.parse_losses(model(**batch, mode='loss'))
            model.zero_grad()
            loss.backward()
            assert torch.isfinite(loss)
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert smallest < 0.05, 'boxes this small were trained on'


def start_from(checkpoint):
    return {'model__backbone__init_cfg': {'_delete_': True, 'type': 'Pretrained', 'checkpoint': str(checkpoint)}}


def test_backbone_starts_from_the_checkpoint(coco, tmp_path):
    network = build_network('mobilenetv2_w0.1', num_classes=7)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'export.pth')
    settings = detector_config(coco, tmp_path / 'run', epochs=1, **start_from(tmp_path / 'export.pth'))
    settings.optim_wrapper.optimizer.lr = 0.0
    checkpoint = torch.load(train_detector(settings)['checkpoint'])
    trained = checkpoint['state_dict']['backbone.stages.4.0.project.conv.weight']
    assert torch.equal(trained, network.state_dict()['stages.4.0.project.conv.weight'])


def test_frozen_part_stays_as_it_was_pretrained(voc, tmp_path):
    network = build_network('mobilenetv2_w0.1', 7)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'export.pth')
    settings = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    with pytest.raises(InputError, match='--freeze 2 would keep random weights'):
        freeze_options(settings, 2)
    settings.merge_from_dict(pretrained_options(settings, str(tmp_path / 'export.pth'), 'mobilenetv2_w0.1'))
    settings.merge_from_dict(freeze_options(settings, 2))
    trained = torch.load(train_detector(settings)['checkpoint'])['state_dict']
    changed = {
        '.'.join(name.split('.')[:2])
        for name, tensor in network.state_dict().items()
        if f'backbone.{name}' in trained and not torch.equal(tensor, trained[f'backbone.{name}'])
    }
    assert changed == {'stages.2', 'stages.3', 'stages.4', 'head.0'}


def test_checkpoint_of_another_network(voc, tmp_path):
    torch.save({'state_dict': build_network('mobilenetv2_w0.2').state_dict()}, tmp_path / 'other.pth')
    message = r'has weights of mobilenetv2_w0\.2, not of mobilenetv2_w0\.1: take --arch mobilenetv2_w0\.2'
    with pytest.raises(InputError, match=message):
        train_detector(detector_config(voc, tmp_path / 'run', **start_from(tmp_path / 'other.pth')))


@pytest.mark.parametrize(
    ('pretrained', 'arch', 'message'),
    [
        ('netaug', 'mobilenetv2_tiny', r'mmnetaug pretrain netaug_mbv2_tiny --data-root'),
        ('baseline', 'mobilenetv2_w0.35', r'work_dirs/baseline_mbv2/export.pth'),
        ('netaug', 'mobilenetv2_w0.5', r'no pretraining is known here for mobilenetv2_w0.5'),
        ('nowhere.pth', 'mcunet', r'no pretrained checkpoint at nowhere.pth'),
        (None, 'mcunet', r'mmnetaug pretrain netaug_mcunet --data-root'),
    ],
)
def test_missing_checkpoint_says_what_makes_it(tmp_path, monkeypatch, pretrained, arch, message):
    config = read_config(ROOT / CONFIG, 'det')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        change = pretrained_options(config, pretrained, arch) if pretrained else arch_options(config, arch)
        config.merge_from_dict(change)
        check_pretrained(config)


def test_a_checkpoint_at_an_address_is_fetched_for_backbones_of_mmdet(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    (tmp_path / 'web').mkdir()
    torch.save({'state_dict': {'conv1.weight': torch.zeros(64, 3, 7, 7)}}, tmp_path / 'web/resnet.pth')
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / 'web'))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}/resnet.pth'
    config = read_config(ROOT / CONFIG, 'det')
    init = {'type': 'Pretrained', 'checkpoint': address}
    config.model.backbone = {'type': 'ResNet', 'depth': 50, 'init_cfg': init}
    check_pretrained(config)
    assert (tmp_path / 'home/hub/checkpoints/resnet.pth').read_bytes() == (tmp_path / 'web/resnet.pth').read_bytes()
    config.model.backbone.init_cfg.checkpoint = address.replace('resnet', 'nowhere')
    with pytest.raises(
        InputError, match=r'nowhere\.pth, .* cannot be fetched \(HTTPError: .*404.*\): check the address'
    ):
        check_pretrained(config)
    server.shutdown()
    config.model.backbone = {'type': 'mmnetaug.TinyNet', 'arch': 'mcunet', 'init_cfg': init}
    with pytest.raises(InputError, match=r'no pretrained checkpoint at http://'):
        check_pretrained(config)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'size': 100}, 'image size 100: expected a multiple of 32'),
        ({'epochs': 0}, 'epochs is 0'),
        ({'model__backbone__arch': 'mobilenetv9'}, 'mobilenetv9'),
        ({'classes': ['cow']}, 'no class cow'),
        ({'train_dataloader__batch_size': 1}, 'batch size is 1: expected .* at least 2'),
        ({'model__bbox_head__num_classes': 5}, r'num_classes is 5 and the data has 2 classes \(cat, dog'),
        ({'param_scheduler': [{'type': 'NoSuchLR'}]}, 'a part of the config does not fit: .*NoSuchLR'),
        ({'model__bbox_head__type': 'NoSuchHead'}, 'a part of the config does not fit: .*NoSuchHead'),
        ({'model__bbox_head__anchor_generator__ratios': (0,)}, 'a part of the config does not fit: division by zero'),
    ],
)
def test_wrong_values(voc, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train_detector(detector_config(voc, tmp_path / 'run', **options))


def test_load_from_a_classifier(voc, tmp_path):
    write_export(tmp_path / 'export.pth', build_network('mobilenetv2_w0.1', 2).state_dict(), {})
    message = r'load_from=.*export.pth has no tensor of this SingleStageDetector: .* weights of a backbone are given by'
    with pytest.raises(InputError, match=message):
        train_detector(detector_config(voc, tmp_path / 'run', load_from=str(tmp_path / 'export.pth')))


def test_the_folder_of_a_run(voc, tmp_path):
    """A path is one; where there is none, or something else, that is said, and so of a test."""
    config = detector_config(voc, tmp_path / 'run')
    config.work_dir = tmp_path / 'run'
    runner = training_runner(config)
    assert runner.work_dir == str(tmp_path / 'run') and "work_dir = '" in runner.cfg.pretty_text
    for wrong, message in ((None, 'the config has no work_dir: expected a folder'), (3, 'the config has work_dir=3')):
        config.work_dir = wrong
        for starts in (training_runner, runner_of_a_test):
            with pytest.raises(InputError, match=message):
                starts(config)


def test_fewer_images_than_one_batch(voc, tmp_path):
    with pytest.raises(InputError, match=r'4 images to train on are less than one batch of 8'):
        train_detector(detector_config(voc, tmp_path / 'run', train_dataloader__batch_size=8))


def test_no_detector_in_a_checkpoint(tmp_path):
    torch.save({'state_dict': {}, 'meta': {'arch': 'mobilenetv2_tiny'}}, tmp_path / 'export.pth')
    with pytest.raises(InputError, match=r'holds no detector: expected .* mmnetaug train wrote'):
        read_detector(tmp_path / 'export.pth')
    torch.save({'state_dict': {}, 'meta': {'model': {}, 'pipeline': []}}, tmp_path / 'old.pth')
    with pytest.raises(InputError, match=r'detector of an earlier release.*: train it again'):
        read_detector(tmp_path / 'old.pth')


def test_the_tool_ends_with_the_message_alone(tmp_path):
    command = [sys.executable, 'tools/train.py', CONFIG, '--data-root', str(tmp_path / 'nothing')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert f'error: no data set at {tmp_path / "nothing"}' in done.stderr


def test_blood_cells(shared):
    """The real set in the shared folder: 292 + 72 photographs, two boxes without area."""
    from mmnetaug.datasets.discovery import find_detection_data

    root = shared / 'data' / 'bccd'
    if not root.is_dir():
        pytest.skip(f'no {root}')
    found = find_detection_data(root)
    train, test = (
        DATASETS.build({**found[split], 'metainfo': {'classes': found['classes']}, 'test_mode': split == 'test'})
        for split in ('train', 'test')
    )
    assert found['classes'] == ['Platelets', 'RBC', 'WBC'] and (len(train), len(test)) == (292, 72)
    assert train.findings.names == {
        'boxes without area left out': ['BloodImage_00338.xml', 'BloodImage_00343.xml'],
    }


def test_the_average_of_weights_is_what_is_exported_and_tested(voc, tmp_path):
    """The export, the last checkpoint and the figures are of the same weights, and these are not the trained ones."""
    config = detector_config(voc, tmp_path / 'run', 'rtmdet_netaug_voc')
    config.custom_hooks[0].update(momentum=0.1, gamma=1)
    result = train_detector(config)
    assert result['head'] == 'RTMDetSepBN'
    export, last = (torch.load(tmp_path / 'run' / name) for name in ('export.pth', 'epoch_2.pth'))
    name = 'backbone.stem.0.conv.weight'
    trained = last['ema_state_dict'][f'module.{name}']  # MMEngine exchanges the two in its checkpoints
    assert not torch.equal(export['state_dict'][name], trained)
    for name, tensor in export['state_dict'].items():
        assert torch.equal(tensor, last['state_dict'][name]), name
    for number, checkpoint in enumerate(('export.pth', 'epoch_2.pth')):
        tested = evaluate(tmp_path / 'run' / checkpoint, tmp_path / f'test{number}')
        assert tested['AP50_area'] == result['AP50_area']


def test_two_runs_of_a_process_keep_to_their_folders(voc, tmp_path):
    folders = []
    for name in ('first', 'second'):
        runner = training_runner(detector_config(voc, tmp_path / name))
        folders.append(Path(runner.visualizer.get_backend('LocalVisBackend')._save_dir))
    assert [tmp_path / 'first' in folders[0].parents, tmp_path / 'second' in folders[1].parents] == [True, True]


class Own(BaseMetric):
    """A metric of one's own, with values of all kinds."""

    default_prefix = 'own'
    values = iter(())

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        kinds = {'list': [0.1, 0.2], 'none': None, 'tensor': torch.tensor(0.25), 'count': len(results)}
        return {'text': '0.1 0.2', 'score': np.float32(next(Own.values)), **kinds}


def test_metrics_of_ones_own(voc, tmp_path, monkeypatch, capsys):
    """Their numbers are shown and kept, the best of them is found, and nothing else they give ends the run."""
    monkeypatch.setitem(METRICS.module_dict, 'Own', Own)
    Own.values = iter([float('nan'), 0.5])
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_light_voc', train_cfg__val_interval=1)
    config.val_evaluator = config.test_evaluator = [{'type': 'mmnetaug.Own'}]
    config.default_hooks.results = {'type': 'mmnetaug.ResultsHook'}
    config.default_hooks.checkpoint.save_best = 'auto'
    result = train_detector(config)
    assert [result[f'own_{name}'] for name in ('score', 'tensor', 'count')] == [0.5, 0.25, 2]
    assert not {'own_text', 'own_list', 'own_none'} & result.keys()
    assert result['best'] == {'measure': 'own/score', 'value': 0.5, 'epoch': 2}
    assert torch.load(tmp_path / 'run/best.pth')['meta']['best'] == result['best']
    assert [path.name for path in (tmp_path / 'run').glob('best_*')] == ['best_own_score_epoch_2.pth']
    assert 'epoch 2 of 2: own/score 0.5, own/tensor 0.25, own/count 2 (best so far)' in capsys.readouterr().out
    with open(tmp_path / 'run/results.csv', newline='') as file:
        shown = [(row['own/score'], row['own/tensor'], row['own/count']) for row in csv.DictReader(file)]
    assert shown == [('nan', '0.25', '2'), ('0.5', '0.25', '2')] and (tmp_path / 'run/curves.png').is_file()
