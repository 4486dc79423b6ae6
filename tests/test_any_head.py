"""Heads that the package does not mention go through train, test, infer and benchmark as its own do."""

import json
import os
import runpy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from helpers import ROOT, detector_config, write_image
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch.utils._python_dispatch import TorchDispatchMode

from mmnetaug import InputError, count_macs
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.evaluation.speed import measure_inference
from mmnetaug.registry import MODELS

# Written as a user would: a child of a config of ours with another neck and head.
CONFIG = """
_base_ = ['{root}/configs/det/ssdlite_baseline_voc.py']
model = dict(
    backbone=dict(_delete_=True, type='mmnetaug.TinyNet', arch='mobilenetv2_w0.1'),
    neck=dict(_delete_=True, type='FPN', out_channels=16, num_outs=3),
    bbox_head=dict(
        _delete_=True,
        {head}
        num_classes=20,
        feat_channels=16,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16, 32]
        ),
    ),
    train_cfg=dict(_delete_=True, assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(_delete_=True, nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6), max_per_img=9),
)
"""
HEADS = {
    'ATSS': """type='ATSSHead', stacked_convs=2,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),""",
    'My': """type='MyHead',
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),""",
}


@pytest.fixture
def tool(monkeypatch, capsys):
    """A function from a tool and its arguments to what it prints: run here, or in a process of its own."""

    def run(name, *args, alone=False):
        command = [str(ROOT / f'tools/{name}.py'), *map(str, args)]
        if not alone:
            monkeypatch.setattr(sys, 'argv', command)
            runpy.run_path(command[0], run_name='__main__')
            return capsys.readouterr().out
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}'}
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.mark.parametrize('head', HEADS)
def test_every_tool(tool, voc, tmp_path, head):
    config, run = tmp_path / 'mine.py', tmp_path / 'run'
    config.write_text(CONFIG.format(root=ROOT, head=HEADS[head]))
    custom = ['--custom-imports', 'my_detector'] if head == 'My' else []
    tool = partial(tool, alone=bool(custom))  # which this process may have imported
    options = ['--data-root', voc, '--pretrained', 'none', '--size', 96, '--epochs', 1, '--batch-size', 2]
    tool('train', config, *options, '--workers', 0, '--work-dir', run, *custom)
    result = json.loads((run / 'result.json').read_text())
    assert result['head'] == head and result['classes'] == ['cat', 'dog'] and 'AP50_area' in result

    tool('test', run / 'export.pth', '--work-dir', tmp_path / 'test', '--out', tmp_path / 'test.json', *custom)
    tested = json.loads((tmp_path / 'test.json').read_text())
    assert {key: tested[key] for key in ('AP50_area', 'macs', 'params', 'size', 'head')} == {
        key: result[key] for key in ('AP50_area', 'macs', 'params', 'size', 'head')
    }
    images = voc / 'JPEGImages'
    out = tool('infer', images, '--checkpoint', run / 'epoch_1.pth', '--out-dir', tmp_path / 'vis', *custom)
    assert len(list((tmp_path / 'vis/vis').glob('*.jpg'))) == 6, out
    table = tool('benchmark', run / 'export.pth', '--names', 'mine', '--out', tmp_path / 'benchmark', *custom)
    assert '| mine | mobilenetv2_w0.1 | 96 |' in table


def channels_of(backbone, neck, head):
    """What the thin detector class of the package tells a neck and a head."""
    parts = {'backbone': backbone, 'neck': neck, 'bbox_head': head}
    model = MODELS.build({'type': 'mmnetaug.SingleStageDetector', **parts})
    with torch.no_grad():
        features = model.backbone(torch.zeros(1, 3, 64, 64))
    assert tuple(feature.shape[1] for feature in features) == model.backbone.out_channels
    assert count_macs(model, (3, 64, 64)) > count_macs(model.backbone, (3, 64, 64))
    return model


TINY = {'type': 'mmnetaug.TinyNet', 'arch': 'mobilenetv2_w0.1'}
YOLOX_HEAD = {'type': 'YOLOXHead', 'num_classes': 3, 'feat_channels': 16, 'stacked_convs': 1}
RTMDET_HEAD = {
    'type': 'RTMDetSepBNHead',
    'num_classes': 3,
    'feat_channels': 16,
    'stacked_convs': 1,
    'norm_cfg': {'type': 'BN'},
    'anchor_generator': {'type': 'MlvlPointGenerator', 'offset': 0, 'strides': [8, 16, 32]},
    'bbox_coder': {'type': 'DistancePointBBoxCoder'},
    'with_objectness': False,
}


@pytest.mark.parametrize(
    ('neck', 'head'),
    [
        ({'type': 'YOLOXPAFPN', 'out_channels': 16}, YOLOX_HEAD),
        ({'type': 'CSPNeXtPAFPN', 'out_channels': 16, 'expand_ratio': 0.5}, RTMDET_HEAD),
        (
            [
                {'type': 'FPN', 'out_channels': 24, 'num_outs': 3},
                {'type': 'FPN', 'in_channels': [24] * 3, 'out_channels': 16, 'num_outs': 3},
            ],
            RTMDET_HEAD,
        ),
        (
            [
                {'type': 'ChannelMapper', 'out_channels': 24},
                {'type': 'CSPNeXtPAFPN', 'out_channels': 16, 'expand_ratio': 0.5},
            ],
            RTMDET_HEAD,
        ),
        (
            [
                {'type': 'FPN', 'out_channels': 16, 'num_outs': 3},
                {'type': 'BFP', 'num_levels': 3, 'refine_type': 'conv'},  # which takes one number for all levels
            ],
            {**RTMDET_HEAD, 'in_channels': 16},
        ),
    ],
    ids=['YOLOX', 'RTMDet', 'RTMDet on two necks', 'a number for each level', 'a number for all levels'],
)
def test_heads_of_mmdet_build_on_our_networks(neck, head):
    given = json.dumps([TINY, neck, head])
    model = channels_of(TINY, neck, head)
    assert model.bbox_head.in_channels == 16
    assert json.dumps([TINY, neck, head]) == given, 'what was given is not changed'


CENTERNET = {
    'type': 'CenterNet',
    'data_preprocessor': {'type': 'DetDataPreprocessor', 'mean': [127.5] * 3, 'std': [127.5] * 3},
    'backbone': {**TINY, 'out_features': ['stride32']},
    'neck': {
        'type': 'CTResNetNeck',
        'in_channels': 32,
        'num_deconv_filters': (16, 16, 16),
        'num_deconv_kernels': (4, 4, 4),
        'use_dcn': False,
    },
    'bbox_head': {'type': 'CenterNetHead', 'num_classes': 2, 'in_channels': 16, 'feat_channels': 16},
    'test_cfg': {'topk': 9, 'local_maximum_kernel': 3, 'max_per_img': 9},
}
CENTERNET_STEPS = [
    {'type': 'LoadImageFromFile', 'to_float32': True},
    {
        'type': 'RandomCenterCropPad',
        **{'ratios': None, 'border': None, 'mean': [0, 0, 0], 'std': [1, 1, 1], 'to_rgb': True},
        **{'test_mode': True, 'test_pad_mode': ['logical_or', 31], 'test_pad_add_pix': 1},
    },
    {'type': 'PackDetInputs', 'meta_keys': ('img_id', 'border', 'scale_factor')},
]


def test_a_head_is_told_what_its_config_says(tmp_path):
    """CenterNet's reads where in the padded image the image lies."""
    write_image(tmp_path / 'a.png', 60, 50)
    images = Inputs({'config': {'test_dataloader': {'dataset': {'pipeline': CENTERNET_STEPS}}}})
    for image in (tmp_path / 'a.png', np.zeros((50, 60, 3), np.uint8)):
        read = images.read(image)
        assert read['inputs'].shape == (3, 64, 64), 'padded all around'
        assert read['data_samples'].border.tolist() == [7, 57, 2, 62]
        assert read['data_samples'].ori_shape == (50, 60)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ConfigDict(CENTERNET)).eval()
    assert measure_inference(model, (64, 96), repeats=4)['latency_ms'] > 0


def test_a_neck_for_other_feature_maps():
    neck = {'type': 'FPN', 'in_channels': [8, 16], 'out_channels': 16, 'num_outs': 3}
    with pytest.raises(InputError, match=r'FPN is for feature maps of \[8, 16\] channels .* leave in_channels out'):
        channels_of(TINY, neck, YOLOX_HEAD)
    with pytest.raises(InputError, match=r'has no feature map stride64: it has stride2_expansion, .*stride32'):
        channels_of({**TINY, 'out_features': ['stride8', 'stride64']}, None, YOLOX_HEAD)


def test_what_a_second_neck_lacks_is_said():
    necks = [{'type': 'ChannelMapper', 'out_channels': 16}, {'type': 'PAFPN', 'out_channels': 16, 'num_outs': 1}]
    with pytest.raises(AssertionError) as raised:  # three levels cannot become one
        channels_of(TINY, necks, RTMDET_HEAD)
    assert 'num_outs' in str(raised.traceback[-1].statement)


@pytest.mark.parametrize(
    ('strides', 'message'),
    [
        ([8, 16], r'for 2 feature maps of strides \[8, 16\] and gets 3 of strides \[8, 16, 32\]'),
        ([16, 32, 64], r'strides \[16, 32, 64\] and gets 3 of strides \[8, 16, 32\]: .*give the head the same'),
    ],
)
def test_a_head_for_other_feature_maps(strides, message):
    head = {**YOLOX_HEAD, 'strides': strides}
    with pytest.raises(InputError, match=message):
        channels_of(TINY, {'type': 'YOLOXPAFPN', 'out_channels': 16}, head)


def test_a_head_without_classes():
    head = {key: value for key, value in YOLOX_HEAD.items() if key != 'num_classes'}
    with pytest.raises(InputError, match=r'YOLOXHead has no num_classes: .*model\.bbox_head\.num_classes=20'):
        channels_of(TINY, {'type': 'YOLOXPAFPN', 'out_channels': 16}, head)
    with pytest.raises(InputError, match='no bbox_head'):
        channels_of(TINY, None, None)


def test_detectors_share_nothing_mutable(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run')
    first, second = (MODELS.build(config.model) for _ in range(2))
    first.test_cfg.score_thr = first.bbox_head.train_cfg.assigner.pos_iou_thr = 0.9
    assert second.test_cfg.score_thr == config.model.test_cfg.score_thr == 0.02
    assert second.bbox_head.train_cfg.assigner.pos_iou_thr == config.model.train_cfg.assigner.pos_iou_thr == 0.4


@pytest.mark.parametrize('head', ['ssdlite', 'yolov3'])
def test_every_value_is_open_to_options(voc, tmp_path, head):
    """The NMS threshold, the assigner, weights of losses, ratios of anchors."""
    options = {'model.test_cfg.nms.iou_threshold': 0.7, 'model.train_cfg.assigner.pos_iou_thr': 0.6}
    if head == 'ssdlite':
        options['model.bbox_head.anchor_generator.ratios'] = (2,)
    else:
        options['model.bbox_head.loss_cls.loss_weight'] = 3.0
    model = MODELS.build(detector_config(voc, tmp_path / 'run', f'{head}_baseline_voc', **options).model)
    assert model.test_cfg.nms.iou_threshold == 0.7 and model.bbox_head.assigner.pos_iou_thr == 0.6
    if head == 'ssdlite':
        assert model.bbox_head.num_base_priors == [4] * 4, 'two squares, 2:1 and 1:2'
    else:
        assert model.bbox_head.loss_cls.loss_weight == 3.0


@pytest.mark.skipif(
    not hasattr(TorchDispatchMode, '_should_skip_dynamo'), reason='an earlier PyTorch always asks for it'
)
def test_a_detector_is_built_and_described_without_pytorchs_compiler():
    """Its import takes two seconds, and PyTorch asks for it where tensors without data are filled or added."""
    code = (
        'import sys\nfrom helpers import build_detector\nfrom mmnetaug.apis.train import describe_detector\n'
        "for head in ('ssdlite', 'rtmdet'):\n    describe_detector(build_detector(head, 'mobilenetv3_w0.35'), 96)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'tests')])}
    command = [sys.executable, '-c', f'import mmnetaug\n{code}']
    printed = subprocess.check_output(command, text=True, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    assert printed.splitlines()[-1] == 'False'
