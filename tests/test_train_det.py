"""Detectors end to end: train, resume, test, infer; and what wrong input gets."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmnetaug.detection import detection_config, detector_meta, infer, pretrained_path, train_detector
from mmnetaug.detection import test_detector as evaluate_detector
from mmnetaug.engine.runtime import read_config, training_runner
from test_detection_data import write_coco, write_image, write_voc

from mmnetaug import InputError, build_network

CONFIG = 'configs/det/ssdlite_netaug_voc.py'


def config(data_root, work_dir, **options):
    """Two short epochs of a small network at 96 pixels; dots in the names of options are two underscores."""
    defaults = {
        'data_root': str(data_root),
        'arch': 'mobilenetv2_w0.1',
        'size': 96,
        'pretrained': None,
        'epochs': 2,
        'warmup_epochs': 1,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
    }
    options = {name.replace('__', '.'): value for name, value in options.items()}
    result = read_config(CONFIG, 'det', {**defaults, **options})
    result.work_dir = str(work_dir)
    return detection_config(result)


@pytest.mark.parametrize('head', ['SSDLite', 'YOLOv3'])
def test_train_test_infer(voc, tmp_path, head):
    everything = {'score_thr': 0.0, 'conf_thr': 0.0}
    run = config(voc, tmp_path / 'run', model__type=f'mmnetaug.{head}', model__test_cfg=everything)
    result = train_detector(run, command='python tools/train.py ...')
    assert result['head'] == head
    assert json.loads((tmp_path / 'run' / 'result.json').read_text()) == result
    assert 0 <= result['AP50_area'] <= 1 and 0 <= result['AP50_11point'] <= 1
    assert (result['classes'], result['train_images'], result['test_images']) == (['cat', 'dog'], 4, 2)
    assert 0 < result['head_share'] < 1 and result['command'] == 'python tools/train.py ...'

    # the checkpoint brings network, image size and classes; the config says where the data is
    tested = evaluate_detector(read_other(voc, tmp_path / 'test'), result['checkpoint'])
    for name in ('AP50_11point', 'AP50_area', 'macs', 'params'):
        assert tested[name] == result[name]

    (voc / 'JPEGImages' / 'not_one.jpg').write_text('no picture')
    pictures = infer(voc / 'JPEGImages', result['checkpoint'], tmp_path / 'out', score_thr=0.0)
    assert [path.name for path in pictures] == [f'{name}.jpg' for name in 'abcdef']
    assert cv2.imread(str(pictures[0])).shape == (48, 64, 3)
    assert (cv2.imread(str(pictures[0])) != 128).any(), 'boxes are drawn on the grey image'


def read_other(voc, work_dir):
    """The config as it is in the repository, with other data."""
    other = read_config(CONFIG, 'det', {'data_root': str(voc), 'val_dataloader.num_workers': 0})
    other.work_dir = str(work_dir)
    return other


@pytest.fixture
def coco(tmp_path):
    images = {f'{name}.jpg': [(1, 10, 10, 20, 20), (2, 30, 20, 30, 24)] for name in 'abcd'}
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path / 'coco', split, images)
    return tmp_path / 'coco'


def test_resume(coco, tmp_path):
    interrupted = config(coco, tmp_path / 'run')
    interrupted.train_cfg.max_epochs = 1  # as if stopped after the first of two epochs
    train_detector(interrupted)
    with pytest.raises(InputError, match='Continue it with --resume'):
        train_detector(config(coco, tmp_path / 'run'))
    again = config(coco, tmp_path / 'run')
    again.resume = True
    resumed = train_detector(again)
    assert Path(resumed['checkpoint']).is_file() and resumed['epochs'] == 2
    logs = [json.loads(line) for path in (tmp_path / 'run').rglob('scalars.json') for line in path.open()]
    assert sorted(log['epoch'] for log in logs if 'loss' in log) == [1, 2]


def test_coco_layout_with_a_voc_config(coco, tmp_path):
    result = train_detector(config(coco, tmp_path / 'run', epochs=1))
    assert 0 <= result['AP'] <= result['AP50'] <= 1


def test_one_class(coco, voc, tmp_path):
    result = train_detector(config(voc, tmp_path / 'run', epochs=1, classes=['dog']))
    assert result['classes'] == ['dog'] and 0 <= result['AP50_area'] <= 1
    result = train_detector(config(coco, tmp_path / 'run_coco', epochs=1, classes=['dog']))
    assert result['classes'] == ['dog'] and 0 <= result['AP'] <= result['AP50'] <= 1
    # 30 x 24 pixels are small, and nothing else is there
    assert result['AP_small'] is not None and result['AP_medium'] is None and result['AP_large'] is None


def test_boxes_far_smaller_than_a_pixel(tmp_path):
    """One pixel of 2000, in the middle and in the corners, is a twentieth of a pixel at 96."""
    specks = [('cat', x, y, x + 1, y + 1, 0) for x, y in [(1, 1), (1000, 900), (1999, 1599)]]
    write_voc(tmp_path / 'voc', dict.fromkeys('abcd', specks), {'trainval': list('abc'), 'test': ['d']})
    for name in 'abcd':
        write_image(tmp_path / f'voc/JPEGImages/{name}.jpg', 2000, 1600)
    settings = config(tmp_path / 'voc', tmp_path / 'run', randomness__seed=0)
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


def test_backbone_starts_from_the_checkpoint(coco, tmp_path):
    network = build_network('mobilenetv2_w0.1', num_classes=7)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'export.pth')
    settings = config(coco, tmp_path / 'run', pretrained=str(tmp_path / 'export.pth'), epochs=1)
    settings.optim_wrapper.optimizer.lr = 0.0
    checkpoint = torch.load(train_detector(settings)['checkpoint'])
    trained = checkpoint['state_dict']['backbone.stages.4.0.project.conv.weight']
    assert torch.equal(trained, network.state_dict()['stages.4.0.project.conv.weight'])


def test_checkpoint_of_another_network(voc, tmp_path):
    torch.save({'state_dict': build_network('mobilenetv2_w0.2').state_dict()}, tmp_path / 'other.pth')
    with pytest.raises(InputError, match=r'does not fit this network'):
        train_detector(config(voc, tmp_path / 'run', pretrained=str(tmp_path / 'other.pth')))


@pytest.mark.parametrize(
    ('pretrained', 'arch', 'message'),
    [
        ('netaug', 'mobilenetv2_tiny', r'python tools/pretrain_cls.py configs/pretrain/netaug_mbv2_tiny.py'),
        ('baseline', 'mobilenetv2_w0.35', r'work_dirs/baseline_mbv2/export.pth'),
        ('netaug', 'mobilenetv2_w0.5', r'no file of configs/pretrain is for mobilenetv2_w0.5'),
        ('nowhere.pth', 'mcunet', r'no pretrained checkpoint at nowhere.pth'),
    ],
)
def test_missing_checkpoint_says_what_makes_it(tmp_path, monkeypatch, pretrained, arch, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        pretrained_path(pretrained, arch)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'size': 100}, 'image size 100: expected a multiple of 32'),
        ({'epochs': 0}, 'epochs is 0'),
        ({'arch': 'mobilenetv9'}, 'mobilenetv9'),
        ({'classes': ['cow']}, 'no class cow'),
        ({'train_dataloader__batch_size': 1}, 'batch size is 1: expected .* at least 2'),
    ],
)
def test_wrong_values(voc, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        config(voc, tmp_path / 'run', **options)


def test_fewer_images_than_one_batch(voc, tmp_path):
    with pytest.raises(InputError, match=r'4 images to train on are less than one batch of 8'):
        train_detector(config(voc, tmp_path / 'run', train_dataloader__batch_size=8))


def test_no_detector_in_a_checkpoint(tmp_path):
    torch.save({'state_dict': {}, 'meta': {'arch': 'mobilenetv2_tiny'}}, tmp_path / 'export.pth')
    with pytest.raises(InputError, match=r'holds no detector: expected .* tools/train.py wrote'):
        detector_meta(tmp_path / 'export.pth')


def test_the_tool_ends_with_the_message_alone(tmp_path):
    command = [sys.executable, 'tools/train.py', CONFIG, '--data-root', str(tmp_path / 'nothing')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert f'error: no data set at {tmp_path / "nothing"}' in done.stderr


def test_blood_cells(shared):
    """The real set in the shared folder: 292 + 72 photographs, two boxes without area."""
    from mmnetaug.datasets.detection import find_detection_data

    from mmnetaug.datasets import VOCDetection

    root = shared / 'data' / 'bccd'
    if not root.is_dir():
        pytest.skip(f'no {root}')
    found = find_detection_data(root)
    train, test = (
        VOCDetection(**found[split], metainfo={'classes': found['classes']}, pipeline=[], test_mode=split == 'test')
        for split in ('train', 'test')
    )
    assert found['classes'] == ['Platelets', 'RBC', 'WBC'] and (len(train), len(test)) == (292, 72)
    assert train.findings.names == {
        'boxes without area left out': ['BloodImage_00338.xml', 'BloodImage_00343.xml'],
    }
