"""Off PyTorch: the truth is mmdet's own prediction, and onnxruntime and gcc say what the files do."""

import copy
import json
import pickle
import runpy
import shutil
import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import (
    ROOT,
    build_detector,
    by_c,
    detector_config,
    pretrain_config,
    with_larger_head,
    write_coco,
    write_photographs,
)
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmnetaug
from mmnetaug import Detector, InputError, extras
from mmnetaug.apis.config import dataset_config
from mmnetaug.apis.export import _training_images, export
from mmnetaug.apis.inference import infer
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.test import build_detector as load_detector
from mmnetaug.apis.test import checkpoint_config, resize_test, set_test_data
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import load_network, read_checkpoint
from mmnetaug.deploy.c_code import write_c
from mmnetaug.deploy.decode import decode, postprocess, suppress
from mmnetaug.deploy.heads import describe_head, leave_exponential, raw_maps
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.runtime import open_artefact

HEADS = ('ssdlite', 'yolov3_baseline_adamw', 'rtmdet', 'gfl')


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp('photographs'))


@pytest.fixture(scope='module', params=HEADS)
def trained(photographs, tmp_path_factory, request):
    """The export of a detector trained for a moment that finds much."""
    name = request.param if '_' in request.param else f'{request.param}_baseline'
    config = detector_config(photographs, tmp_path_factory.mktemp(request.param), f'{name}_voc', epochs=4)
    config.model.test_cfg.update(score_thr=0.005, nms_pre=60, max_per_img=40)
    return with_larger_head(train_detector(config)['checkpoint'])


def by_mmdet(checkpoint, path):
    """Boxes, scores and labels that mmdet's ``test_step`` gives, in pixels of the original image."""
    detector, image = load_detector(checkpoint), cv2.imread(str(path))
    side = mmnetaug.checkpoint.read_detector(checkpoint)[0]['size']
    resized = torch.from_numpy(cv2.resize(image, (side, side))).permute(2, 0, 1).contiguous()
    height, width = image.shape[:2]
    scale = {'img_shape': (side, side), 'ori_shape': (height, width), 'scale_factor': (side / width, side / height)}
    with torch.no_grad():
        data = {'inputs': [resized], 'data_samples': [DetDataSample(metainfo=scale)]}
        found = detector.test_step(data)[0].pred_instances
    return found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy()


def same(found, truth, tolerance=1e-3):
    boxes, scores, labels = truth
    assert len(boxes) > 10 and len(found[0]) == len(boxes)
    assert set(labels) == {0, 1}
    assert np.abs(found[0] - boxes).max() < tolerance
    assert np.abs(found[1] - scores).max() < 1e-5
    assert (found[2] == labels).all()


def test_onnx_gives_the_boxes_of_mmdet(trained, photographs, tmp_path):
    path = tmp_path / 'a.onnx'
    result = export(trained, 'onnx', path)
    for name in ('AP50_area', 'AP'):
        assert result['before'][name] == pytest.approx(result['after'][name], abs=1e-6)
    assert not onnx.load(path).graph.initializer[0].external_data and result['bytes'] == path.stat().st_size
    model = onnx.load(path)
    properties = {each.key: each.value for each in model.metadata_props}
    assert (properties['classes'], properties['size'], properties['channels']) == ('cat, dog', '96x96', 'RGB')
    assert properties['resize'] == 'stretched to 96x96'
    # what onnxruntime 1.15 reads
    assert [(each.domain, each.version) for each in model.opset_import] == [('', 18)] and model.ir_version == 8
    images = sorted((photographs / 'JPEGImages').iterdir())[:3]
    deployed, ours = Detector(path), Detector(trained)
    for image, found in zip(images, deployed(images)):
        truth = by_mmdet(trained, image)
        same(found, truth)
        same(ours(image), truth)
        same(deployed(cv2.imread(str(image))), truth)
        assert found.names == [('cat', 'dog')[label] for label in found.labels]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        same(ours(images[2]), truth)
    least = found.scores[5]
    assert len(deployed(images[2], score_thr=least)) == 4 and len(deployed(images[2], least).scores) == 6
    assert deployed([]) == []


def test_raw_maps_and_int8(brief, photographs, tmp_path):
    export(brief, 'onnx', tmp_path / 'raw.onnx', raw=True)
    assert b'.py", line' not in (tmp_path / 'raw.onnx').read_bytes()  # nothing of the source
    artefact = open_artefact(tmp_path / 'raw.onnx')
    assert artefact.threads == torch.get_num_threads()
    image = np.random.default_rng(0).integers(0, 256, (3, 96, 96)).astype(np.float32)
    assert len(artefact.detect(image)) == 3
    for damage in ({'kind': 'ssd'}, {**artefact.meta['head'], 'priors': [[1]]}, {**artefact.meta['head'], 'levels': 3}):
        damaged = open_artefact(tmp_path / 'raw.onnx')
        damaged.meta['head'] = damage
        with pytest.raises(InputError, match='says of its head does not fit its maps'):
            damaged.detect(image)
    for config in ({}, {'test_dataloader': {'dataset': {'pipeline': [{'type': 'Resize', 'side': 3}]}}}):
        with pytest.raises(InputError, match='does not say how images are prepared'):
            Inputs({'config': config})
    detector = load_detector(brief)
    mean, std = detector.data_preprocessor.mean, detector.data_preprocessor.std
    with torch.no_grad():
        maps = raw_maps(detector, ((torch.from_numpy(image) - mean) / std)[None])
    outputs = artefact.run(image)
    assert len(maps) == len(outputs) and max(np.abs(a - b[0].numpy()).max() for a, b in zip(outputs, maps)) < 1e-4

    result = export(brief, 'onnx', tmp_path / 'int8.onnx', int8=True, calibration=photographs / 'JPEGImages')
    assert result['bytes'] < (tmp_path / 'raw.onnx').stat().st_size
    model = onnx.load(tmp_path / 'int8.onnx')
    scales = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    convolutions = {node.input[1] for node in model.graph.node if node.op_type == 'Conv'}
    quantised = {node.output[0]: node for node in model.graph.node if node.op_type == 'DequantizeLinear'}
    assert convolutions <= quantised.keys()
    assert all(scales[quantised[name].input[1]].size == len(scales[quantised[name].input[0]]) for name in convolutions)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'computed.onnx')
    onnxruntime.InferenceSession(str(tmp_path / 'int8.onnx'), options, providers=['CPUExecutionProvider'])
    computed = [node.op_type for node in onnx.load(tmp_path / 'computed.onnx').graph.node]
    assert computed.count('QLinearConv') == len(convolutions) and 'Conv' not in computed
    # the training set of the data that it was tested on
    assert export(brief, 'onnx', tmp_path / 'own.onnx', int8=True, evaluate=False)['bytes'] == result['bytes']
    config = checkpoint_config(tmp_path / 'int8.onnx')
    config.work_dir = str(tmp_path / 'logs')
    resized = checkpoint_config(tmp_path / 'int8.onnx')
    resize_test(resized, 128)
    with pytest.raises(InputError, match='takes images of 96x96 pixels alone'):
        evaluate_detector(resized, tmp_path / 'int8.onnx')
    tested = evaluate_detector(config, tmp_path / 'int8.onnx')
    assert tested['AP'] == result['after']['AP'] and tested['macs'] == result['before']['macs']


def test_pictures_objects_and_videos(trained, photographs, tmp_path):
    if 'ssdlite' not in trained:
        pytest.skip('one head is enough')
    images = sorted((photographs / 'JPEGImages').iterdir())
    video = cv2.VideoWriter(str(tmp_path / 'v.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for image in images[:3]:
        video.write(cv2.imread(str(image)))
    video.release()
    assert len(infer(images[0].parent, trained, tmp_path / 'out', score_thr=0.01)) == len(images)
    written = json.loads((tmp_path / 'out/predictions.json').read_text())
    boxes, scores, _ = by_mmdet(trained, images[1])
    mine = [each for each in written if each['file_name'] == images[1].name]
    assert {each['image_id'] for each in mine} == {1} and len(mine) == (scores >= 0.01).sum() > 0
    x, y, width, height = mine[0]['bbox']
    assert [x, y, x + width, y + height] == pytest.approx(boxes[0].tolist(), abs=1e-3)
    (drawn,) = infer(tmp_path / 'v.avi', trained, tmp_path / 'out', score_thr=0.01)
    capture, frames = cv2.VideoCapture(str(drawn)), 0
    while capture.read()[0]:
        frames += 1
    assert frames == 3
    for again in (drawn, drawn.parent):  # what is there already is drawn over by nobody
        before = {path: path.read_bytes() for path in drawn.parent.iterdir()}
        with pytest.raises(InputError, match='would be drawn over: name another folder with --out-dir'):
            infer(again, trained, tmp_path / 'out', score_thr=0.01)
        assert {path: path.read_bytes() for path in drawn.parent.iterdir()} == before
    assert {each['image_id'] for each in json.loads((tmp_path / 'out/predictions.json').read_text())} == {0, 1, 2}


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_a_classifier(image_tree, tmp_path, bgr_to_rgb):
    config = pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_tiny_cifar100', epochs=1)
    ours = config.model.data_preprocessor
    if not bgr_to_rgb:
        ours.update(mean=[0, 10, 20], std=[255, 254, 253], bgr_to_rgb=False)
    pretrain(config)
    checkpoint = tmp_path / 'run/export.pth'
    export(checkpoint, 'onnx', int8=False)
    artefact = open_artefact(tmp_path / 'run/export.onnx')
    side = artefact.meta['size'][0]
    image = np.random.default_rng(0).integers(0, 256, (3, side, side)).astype(np.float32)
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (ours.mean, ours.std))
    assert artefact.meta['channels'] == ('RGB' if bgr_to_rgb else 'BGR')
    with torch.no_grad():
        truth = load_network(checkpoint, 2).eval()(torch.from_numpy((image - mean) / std)[None])
    assert np.abs(artefact.run(image)[0] - truth[0].numpy()).max() < 1e-4
    with pytest.raises(InputError, match='is a classifier: expected a detector'):
        Detector(tmp_path / 'run/export.onnx')
    with pytest.raises(InputError, match='give a folder of them with --calibration DIR'):
        export(checkpoint, 'onnx', int8=True)
    with pytest.raises(InputError, match=r'in place of --test-ann expected --data-root DIR, with DIR/val/CLASS'):
        export(checkpoint, 'onnx', files={'test': ('annotations.json', None)})
    export(checkpoint, 'onnx', tmp_path / 'int8.onnx', int8=True, calibration=image_tree)


def test_images_to_calibrate_with_lie_beside_those_of_the_test(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(photographs)  # in which nothing is looked for
    given = {'data_root': '', 'metainfo': {'classes': ('zebra',)}}
    config = Config({'model': {'bbox_head': {}}, 'test_dataloader': {'dataset': given}})
    with pytest.raises(InputError, match='give a folder of them with --calibration DIR'):
        _training_images(config, None, None)
    names = (photographs / 'ImageSets/Main/trainval.txt').read_text().split()
    found = _training_images(config, str(photographs), None)  # whatever is on them
    assert {path.stem for path in found} == set(names)
    with pytest.raises(InputError, match=r'a.onnx is an exported file: give the export.pth'):
        (tmp_path / 'a.onnx').write_bytes(b'')
        read_checkpoint(tmp_path / 'a.onnx')


# --- post-processing ---


@pytest.mark.parametrize('int8', [False, True], ids=['float', 'int8'])
@pytest.mark.parametrize('kind', ['ssd', 'yolov3', 'distances', 'distributions', 'log_distances'])
def test_numpy_torch_and_c_agree_with_mmdet(tmp_path, kind, int8):
    """On images of 96x80 pixels, padded to 96x96: boxes are cut at their border."""
    head = {'ssd': 'ssdlite', 'distributions': 'gfl'}.get(kind, 'rtmdet' if 'distances' in kind else kind)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = build_detector(head, num_classes=2).eval()
    detector.test_cfg.update(score_thr=0.3, nms_pre=40, conf_thr=0.2)
    described = describe_head(detector, (96, 96), (96, 80))
    if kind == 'log_distances':
        leave_exponential(detector, described)
    assert described['kind'] == kind
    generator = np.random.default_rng(0)
    with torch.no_grad():
        shapes = [level.shape[1:] for level in raw_maps(detector, torch.zeros(1, 3, 96, 96))]
    tensors, stored, maps = [], [], []
    for number, shape in enumerate(shapes):
        largest = 8 if head == 'rtmdet' and number >= len(shapes) // 2 else 2
        values = generator.normal(0, largest, shape).astype(np.float32)
        scale, zero = (np.float32(largest / 40), 3) if int8 else (np.float32(0), 0)
        if int8:
            whole = np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)
            values = (whole.astype(np.float32) - zero) * scale
        stored.append(np.ascontiguousarray((whole if int8 else values).transpose(1, 2, 0)))
        maps.append(values)
        tensors.append({'name': f'{number}', 'scale': float(scale), 'zero_point': zero})
    meta = {'task': 'detection', 'classes': ['cat', 'd*/og\n'], 'size': [96, 96], 'channels': 'RGB', 'head': described}
    meta |= {'int8': int8, 'input': {'scale': 0.5, 'zero_point': -3}, 'output_tensors': tensors}
    meta['resize'] = 'stretched to 96x80'
    (tmp_path / 'm.json').write_text(json.dumps(meta))
    (tmp_path / 'm.tflite').write_bytes(b'a model')
    described = json.loads((tmp_path / 'm.json').read_text())['head']
    numpy = postprocess(maps, described)
    assert len(numpy[0]) > 10
    assert len(write_c(tmp_path / 'm.tflite')) == 3
    header = (tmp_path / 'm_detect.h').read_text()
    assert '/* Detection of cat, d /og.\n' in header and 'of a photograph stretched to 96x80, bilinear.\n' in header
    assert '96x80 of them at the top left, and the rest has the value 124, 116, 104 of red, green and blue' in header
    assert '#define m_INPUT_WIDTH 96' in header and ('#define m_INPUT_ZERO_POINT -3' in header) == int8
    for one, other in zip(by_c(tmp_path, 'm', stored), numpy):
        assert np.abs(one - other).max() < 1e-3
    (tmp_path / 'main.cpp').write_text('#include "m_detect.h"\nint main() { return m_model[0] + m_detect(0, 0, 0); }')
    if shutil.which('g++'):  # links, as in tflite-micro, and compiles as C++
        subprocess.run(['g++', 'main.cpp', './detect.so', '-o', 'main'], cwd=tmp_path, check=True)
        subprocess.run(['g++', '-x', 'c++', '-fsyntax-only', '-Werror', 'm_detect.c'], cwd=tmp_path, check=True)
    if int8:
        return  # of equal scores mmdet keeps any
    broken = [np.where(generator.random(level.shape) < 0.05, np.float32(np.nan), level) for level in maps]
    by_numpy = postprocess(broken, described)
    assert len(by_numpy[0]) > 10 and np.isfinite(by_numpy[1]).all()
    assert len(by_c(tmp_path, 'm', [np.ascontiguousarray(level.transpose(1, 2, 0)) for level in broken])[0])
    boxes, scores = decode([torch.from_numpy(level) for level in maps], described, torch)
    assert np.abs(boxes.numpy() - decode(maps, described)[0]).max() < 1e-3
    assert np.abs(scores.numpy() - decode(maps, described)[1]).max() < 1e-5
    parts = [torch.from_numpy(level)[None] for level in maps]
    outputs = [parts] if head == 'yolov3' else [parts[: len(parts) // 2], parts[len(parts) // 2 :]]
    if kind == 'log_distances':
        outputs[1] = [stride * torch.exp(level / stride) for level, stride in zip(outputs[1], (8, 16, 32))]
    metas = [{'img_shape': (80, 96), 'ori_shape': (80, 96), 'scale_factor': (1.0, 1.0)}]
    truth = detector.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas, cfg=detector.test_cfg)[0]
    assert np.abs(numpy[0] - truth.bboxes.numpy()).max() < 1e-3
    assert np.abs(numpy[1] - truth.scores.numpy()).max() < 1e-5 and (numpy[2] == truth.labels.numpy()).all()


def test_decoding_needs_numpy_alone(tmp_path):
    """The file is copied to where there is no PyTorch."""
    head = {'kind': 'ssd', 'num_classes': 1, 'levels': [[1, 1, 1]], 'priors': [[0, 0, 4, 4]], 'size': [8, 8]}
    head |= {'means': [0] * 4, 'stds': [1] * 4, 'score_thr': 0.1, 'nms_pre': 5, 'iou_thr': 0.5, 'max_per_img': 5}
    code = (
        'import sys; sys.modules.update(torch=None, mmdet=None, mmnetaug=None); import decode, numpy; '
        'maps = numpy.zeros((2, 1, 1)), numpy.zeros((4, 1, 1)); '
        f'print([each.tolist() for each in decode.postprocess(maps, {head | {"min_size": 0}})])'
    )
    shutil.copy(ROOT / 'mmnetaug/deploy/decode.py', tmp_path)
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[[[0.0, 0.0, 4.0, 4.0]], [0.5], [0]]'


def test_c_gives_no_more_boxes_than_max_per_img(tmp_path):
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = build_detector('ssdlite', num_classes=2).eval()
    detector.test_cfg.update(score_thr=0.3, max_per_img=5)
    described = describe_head(detector, (96, 96))
    generator = np.random.default_rng(0)
    with torch.no_grad():
        shapes = [level.shape[1:] for level in raw_maps(detector, torch.zeros(1, 3, 96, 96))]
    maps = [generator.normal(0, 2, shape).astype(np.float32) for shape in shapes]
    meta = {'task': 'detection', 'classes': ['a', 'b'], 'size': [96, 96], 'channels': 'RGB', 'int8': False}
    tensors = [{'name': f'{number}', 'scale': 0.0, 'zero_point': 0} for number in range(len(maps))]
    (tmp_path / 'm.json').write_text(json.dumps({**meta, 'head': described, 'output_tensors': tensors}))
    (tmp_path / 'm.tflite').write_bytes(b'a model')
    write_c(tmp_path / 'm.tflite')
    boxes, scores, _ = by_c(tmp_path, 'm', [np.ascontiguousarray(level.transpose(1, 2, 0)) for level in maps])
    assert len(boxes) == 5
    np.testing.assert_allclose(scores, postprocess(maps, described)[1], atol=1e-5)


def test_padding_of_gray_images_in_c(tmp_path):
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = build_detector('ssdlite', size=(160, 128), backbone__in_channels=1).eval()
    head = describe_head(detector, (160, 128), (160, 120))
    meta = {'task': 'detection', 'classes': ['a'], 'size': [160, 128], 'channels': 'GRAY', 'head': head}
    meta |= {'int8': False, 'output_tensors': []}
    (tmp_path / 'm.json').write_text(json.dumps(meta))
    (tmp_path / 'm.tflite').write_bytes(b'a model')
    write_c(tmp_path / 'm.tflite')
    header = (tmp_path / 'm_detect.h').read_text()
    assert '160x120 of them at the top left, and the rest has the value 117' in header


def test_means_of_a_coder_are_decoded():
    """As by mmdet's head."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = build_detector('ssdlite', num_classes=2).eval()
    detector.bbox_head.bbox_coder.means = (0.5, -0.4, 0.3, -0.2)
    detector.test_cfg.update(score_thr=0.3, nms_pre=40)
    described = describe_head(detector, (96, 96))
    generator = np.random.default_rng(0)
    with torch.no_grad():
        shapes = [level.shape for level in raw_maps(detector, torch.zeros(1, 3, 96, 96))]
        maps = [torch.from_numpy(generator.normal(0, 2, shape).astype(np.float32)) for shape in shapes]
        half = len(maps) // 2
        metas = [{'img_shape': (96, 96), 'ori_shape': (96, 96), 'scale_factor': (1.0, 1.0)}]
        parts = maps[:half], maps[half:]
        (truth,) = detector.bbox_head.predict_by_feat(*parts, batch_img_metas=metas, cfg=detector.test_cfg)
    boxes, _, labels = postprocess([level[0].numpy() for level in maps], described)
    assert len(boxes) > 10
    np.testing.assert_allclose(boxes, truth.bboxes.numpy(), atol=1e-3)
    assert (labels == truth.labels.numpy()).all()


def test_boxes_that_overlap_by_just_the_threshold_both_stay():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 2, 1.1]], np.float32)  # IoU 2 / 4 with the first, and 2.2 / 4
    scores = np.array([[0.9], [0.8], [0.7]], np.float32)
    found = suppress(boxes, scores, {'iou_thr': 0.5, 'max_per_img': 9})
    assert found[1].tolist() == scores[:2, 0].tolist()


@pytest.mark.parametrize('change', [{'nms': {'type': 'soft_nms', 'iou_threshold': 0.5}}, {'min_bbox_size': 16}])
def test_a_head_without_a_decoder_gives_raw_maps(untrained, tmp_path, change):
    content = torch.load(untrained)
    content['meta']['config']['model']['test_cfg'].update(change)
    torch.save(content, untrained)
    export(untrained, 'onnx', tmp_path / 'a.onnx')
    artefact = open_artefact(tmp_path / 'a.onnx')
    assert artefact.meta['head'] is None and artefact.meta['outputs'][0] == 'map0'
    with pytest.raises(InputError, match='raw maps of a head that nothing here decodes'):
        Detector(tmp_path / 'a.onnx')


def test_a_detector_without_normalisation(untrained, photographs, tmp_path):
    content = torch.load(with_larger_head(untrained))
    content['meta']['config']['model']['data_preprocessor'].update(mean=None, std=None)
    content['state_dict']['backbone.stem.0.conv.weight'] /= 128  # for values to 255
    torch.save(content, untrained)
    export(untrained, 'onnx', tmp_path / 'a.onnx', evaluate=False)
    image = photographs / 'JPEGImages/a.jpg'
    truth, found = Detector(untrained)(image, 0.1), Detector(tmp_path / 'a.onnx')(image, 0.1)
    assert len(truth.scores) and np.abs(found.scores - truth.scores).max() < 1e-4
    assert np.abs(found.boxes - truth.boxes).max() < 1e-2


def test_calibration_images_are_spread_evenly(untrained, photographs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Inputs, 'pixels', lambda self, paths: seen.extend(path.stem for path in paths) or [])
    with pytest.raises(ValueError, match='No data'):
        export(untrained, 'onnx', tmp_path / 'a.onnx', int8=True, evaluate=False,
               calibration=photographs / 'JPEGImages', calibration_images=5)  # fmt: skip
    assert seen == list('abdeg')  # of eight: 0, 8 / 5, 16 / 5, ..., rounded down


def test_what_stays_in_float_is_said(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        'mmnetaug.apis.export.write_tflite', lambda *given: tmp_path.joinpath('a.tflite').write_bytes(b'a')
    )
    for int8 in (False, True):
        export(trained, 'tflite', tmp_path / 'a.tflite', int8, evaluate=False)
        said = 'LeakyReLU stays in float' in capsys.readouterr().out
        assert said == (int8 and 'yolov3' in str(trained))


# --- bad input ---


@pytest.fixture(scope='module')
def brief(photographs, tmp_path_factory):
    config = detector_config(photographs, tmp_path_factory.mktemp('brief'), 'ssdlite_baseline_voc', epochs=1)
    return train_detector(config)['checkpoint']


@pytest.fixture
def untrained(brief, tmp_path):
    return shutil.copy(brief, tmp_path / 'export.pth')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--format', 'onnx', '--c'], 'beside a .tflite: expected --format tflite'),
        (['--format', 'onnx', '--calibration', '.'], 'takes images for int8: add --int8'),
        (['--format', 'onnx', '--int8', '--calibration-images', '0'], 'expected a whole number of at least 1'),
        (['--format', 'onnx', '--int8', '--calibration', '{tmp}/run'], 'no image to calibrate with in'),
        (['--format', 'onnx', '--out', '{tmp}/a.tflite'], 'expected a name that ends in .onnx'),
        (['--format', 'onnx', '--data-root', '{tmp}/nowhere'], 'no data set at'),
        (['--format', 'caffe'], "invalid choice: 'caffe'"),
        (['--format', 'tflite', '--json', '{tmp}/export.json'], 'is where the TFLite file is described'),
        (['--format', 'tflite', '--out', '{tmp}/run/result.tflite'], 'result.json is there and says nothing of a TFL'),
    ],
)
def test_wrong_options(untrained, tmp_path, monkeypatch, capsys, options, message):
    (tmp_path / 'run').mkdir(exist_ok=True)
    (tmp_path / 'run/result.json').write_text('{"AP": 1}')
    arguments = [str(untrained), *(option.replace('{tmp}', str(tmp_path)) for option in options)]
    monkeypatch.setattr(sys, 'argv', ['export.py', *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools/export.py'), run_name='__main__')
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.glob('*.onnx')) and (tmp_path / 'run/result.json').read_text() == '{"AP": 1}'


def test_files_that_are_no_artefacts(untrained, tmp_path, photographs, monkeypatch):
    (tmp_path / 'a.onnx').write_bytes(b'nothing')
    for name, message in [('a.onnx', 'is no ONNX file of'), ('nowhere.onnx', 'no file at'), ('a.pth', 'no checkpoint')]:
        with pytest.raises(InputError, match=message):
            Detector(tmp_path / name)
    with pytest.raises(InputError, match=r'(?s)device cuda:0: .*Expected cpu, or cuda'):
        Detector(untrained, device='cuda:0' if not torch.cuda.is_available() else 'cuda:99')
    image = photographs / 'JPEGImages/a.jpg'
    for wrong, message in [
        (np.zeros((4, 4)), r'an array \(4, 4\) of float64: expected \(H, W, 3\) of uint8'),
        (tmp_path / 'none.jpg', 'no image at'),
        (untrained, 'is among the files that are no images'),
    ]:
        with pytest.raises(InputError, match=message):
            Detector(untrained)(wrong)
    assert len(Detector(untrained)([image, cv2.imread(str(image))])) == 2
    monkeypatch.setattr(extras, 'import_module', lambda name: __import__(f'not_{name}'))
    with pytest.raises(InputError, match=r"onnx is missing .*pip install 'mmnetaug\[export\]'"):
        export(untrained, 'onnx', evaluate=False)
    with pytest.raises(InputError, match=r"litert_torch is missing .*pip install 'mmnetaug\[tflite\]'"):
        export(untrained, 'tflite', evaluate=False)


@pytest.fixture(scope='module')
def artefact(brief, tmp_path_factory):
    """An ONNX file of raw maps."""
    path = tmp_path_factory.mktemp('artefact') / 'a.onnx'
    export(brief, 'onnx', path, raw=True, evaluate=False)
    return onnx.load(path)


def saying(artefact, path, **changes):
    """The artefact in a file, where it says other things of itself."""
    model = onnx.ModelProto()
    model.CopyFrom(artefact)
    (entry,) = (each for each in model.metadata_props if each.key == 'mmnetaug')
    entry.value = json.dumps({**json.loads(entry.value), **changes})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'version': 9}, r'another release \(version 9, and this one reads 1\): export it again'),
        ({'version': None}, 'another release'),
        ({'task': ['detection']}, r"its task is \['detection'\]: export it again"),
        ({'classes': 'cat'}, 'its classes is cat'),
        ({'classes': ['cat', 3]}, 'its classes is'),
        ({'classes': []}, 'its classes is'),
        ({'classes': ['cat']}, 'finds more than its 1 classes'),
        ({'size': ['96', '96']}, 'its size is'),
        ({'size': [96]}, 'its size is'),
        ({'size': [-96, 96]}, 'its size is'),
        ({'size': [96.0, True]}, 'its size is'),
        ({'size': [10**9, 10**9]}, 'another network than it says'),
        ({'channels': 'CMYK'}, 'its channels is CMYK'),
        ({'channels': 'GRAY'}, 'another network than it says'),
        ({'outputs': ['boxes', 'scores', 'labels']}, 'another network than it says'),
        ({'outputs': [3]}, 'its outputs is'),
        ({'head': 'ssd'}, 'its head is ssd'),
        ({'head': {'kind': 'os.system'}}, 'its head is'),
        ({'config': None}, 'its config is'),
        ({'config': {'model': {'type': 'os.system'}}}, 'which could run code or touch files'),
        ({'config': {'model': {}}}, 'does not say how images are prepared'),
    ],
)
def test_what_an_artefact_says_of_itself(artefact, tmp_path, changes, message):
    if changes == {'classes': ['cat']}:  # of an untrained head no box may be of the second class
        head = json.loads(next(each.value for each in artefact.metadata_props if each.key == 'mmnetaug'))['head']
        changes = {**changes, 'head': {**head, 'score_thr': 0, 'max_per_img': 10**6}}
    with pytest.raises(InputError, match=message):
        Detector(saying(artefact, tmp_path / 'a.onnx', **changes))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda meta: meta.update(version=9), r'another release \(version 9, and this one reads 2\)'),
        (lambda meta: meta['config'].pop('model'), 'describes a detector that cannot be built'),
        (lambda meta: meta['config']['model'].pop('backbone'), 'describes a detector that cannot be built'),
        (lambda meta: meta['config'].pop('test_dataloader'), 'does not say how images are prepared'),
        (lambda meta: meta['config']['test_dataloader'].update(dataset=3), 'does not say how images are prepared'),
    ],
)
def test_what_a_checkpoint_says_of_itself(untrained, change, message):
    content = torch.load(untrained)
    change(content['meta'])
    torch.save(content, untrained)
    for opens in (Detector, lambda path: export(path, 'onnx', evaluate=False)):
        with pytest.raises(InputError, match=message):
            opens(untrained)
    assert [path.name for path in untrained.parent.iterdir()] == ['export.pth']


def test_artefacts_without_what_they_say(artefact, tmp_path):
    bare = onnx.ModelProto()
    bare.CopyFrom(artefact)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / 'bare.onnx')
    content = artefact.SerializeToString()
    for name, written in [('empty', b''), ('cut', content[: len(content) // 2]), ('text', b'{}')]:
        (tmp_path / f'{name}.onnx').write_bytes(written)
    for name in ('bare', 'empty', 'cut', 'text'):
        with pytest.raises(InputError, match=r'is no ONNX file of mmnetaug export .*: export it again'):
            Detector(tmp_path / f'{name}.onnx')
    (tmp_path / 'folder.onnx').mkdir()
    for wrong in ('folder.onnx', 'nowhere.tflite'):
        with pytest.raises(InputError, match='no file at'):
            Detector(tmp_path / wrong)


def test_wrong_arguments_of_a_detector(untrained, artefact, tmp_path, photographs):
    path = saying(artefact, tmp_path / 'a.onnx')
    for wrong in (None, 5, b'a.pth', ['a.pth']):
        with pytest.raises(InputError, match=r'is no path: expected one of an export.pth'):
            Detector(wrong)
    for threads in (0, -1, 1.5, '2'):
        with pytest.raises(InputError, match=r'threads is .*: expected a whole number of at least 1'):
            Detector(path, threads=threads)
    with pytest.raises(InputError, match=r'threads=2 is for .onnx and .tflite'):
        Detector(untrained, threads=2)
    with pytest.raises(InputError, match='runs on the CPU: leave out the device cuda'):
        Detector(path, device='cuda')
    for device in ('gpu', 1.5, 'meta'):
        with pytest.raises(InputError, match='Expected cpu, or cuda'):
            Detector(untrained, device=device)
    image = np.zeros((40, 60, 3), np.uint8)
    for detector in (Detector(untrained), Detector(path, threads=1)):
        for score_thr in (-0.1, 1.1, float('nan'), '0.5'):
            with pytest.raises(InputError, match=r'score_thr is .*: expected a number from 0 to 1'):
                detector(image, score_thr=score_thr)
        for wrong, message in [
            (image.tolist(), 'a list is no image: expected a path'),
            (image[..., 0], r'an array \(40, 60\) of uint8'),
            (image[None], r'an array \(1, 40, 60, 3\) of uint8'),
            (image[:0], r'an array \(0, 60, 3\) of uint8'),
            (image.astype(np.float32), 'of float32'),
            (torch.zeros(3, 40, 60), 'a Tensor is no image'),
            (3, 'a int is no image'),
            (None, 'a NoneType is no image'),
            (photographs, 'is a folder'),
            ([image, 'nowhere.jpg'], 'no image at nowhere.jpg'),
        ]:
            with pytest.raises(InputError, match=message):
                detector(wrong)
        assert detector([]) == [] and len(detector((image,))) == 1


def test_copies_of_a_detector(artefact, tmp_path, photographs):
    """Such as for processes that are started anew."""
    detector, image = Detector(saying(artefact, tmp_path / 'a.onnx'), threads=1), photographs / 'JPEGImages/a.jpg'
    for copied in (pickle.loads(pickle.dumps(detector)), copy.deepcopy(detector)):
        assert copied.model.threads == 1 and copied.classes == detector.classes
        for found, truth in zip(copied(image), detector(image)):
            assert np.array_equal(found, truth)


def test_a_program_that_builds_its_own_elsewhere(untrained, photographs):
    image = photographs / 'JPEGImages/a.jpg'
    truth = Detector(untrained)(image)
    with torch.device('meta'):
        detector = Detector(untrained)
    assert len(truth.boxes) and all(map(np.array_equal, detector(image), truth))
    try:
        torch.set_default_dtype(torch.float64)
        found = Detector(untrained)(image)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert np.allclose(found.scores, truth.scores, atol=1e-5)


def test_a_long_list_is_read_a_few_images_at_a_time(trained, photographs):
    """And an iterator no faster than it is used; what is found is what one image after the other gives."""
    detector = Detector(trained)
    images = [cv2.imread(str(path)) for path in sorted((photographs / 'JPEGImages').iterdir())] * 5
    alone = [detector(image) for image in images[:8]] * 5
    sizes, step = [], detector.model.test_step
    detector.model.test_step = lambda batch: sizes.append(len(batch['inputs'])) or step(batch)
    given = []
    for found in (detector(images), detector(given.append(len(sizes)) or image for image in images)):
        assert len(found) == len(images) == 40
        for each, truth in zip(found, alone):
            same(each[:3], truth[:3])
    assert max(sizes) < 20 and sum(sizes) == 80
    assert given[0] < given[-1]


def test_images_outside_the_folder(untrained, tmp_path, monkeypatch, capsys):
    for split, name in (('train2017', '../../out/a.jpg'), ('val2017', '../../out/b.jpg')):
        write_coco(tmp_path / 'data', split, {name: [(1, 10, 10, 20, 20), (2, 30, 20, 20, 20)]})
    options = ['--format', 'onnx', '--int8', '--data-root', tmp_path / 'data', '--allow-outside']
    for given, status in ((options[:-1], 2), (options, None)):
        monkeypatch.setattr(sys, 'argv', ['export.py', *map(str, [untrained, *given])])
        if status:
            with pytest.raises(SystemExit) as end:
                runpy.run_path(str(ROOT / 'tools/export.py'), run_name='__main__')
            assert end.value.code == status and 'outside the data folder' in capsys.readouterr().err
        else:
            runpy.run_path(str(ROOT / 'tools/export.py'), run_name='__main__')
            assert 'onnx, int8: AP ' in capsys.readouterr().out
    config = checkpoint_config(untrained)
    assert 'allow_outside' not in dataset_config(config, 'test_dataloader')
    set_test_data(config, None, allow_outside=True)  # of its own data
    assert dataset_config(config, 'test_dataloader').allow_outside


def test_calibration_with_broken_images(untrained, photographs, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    (folder / 'empty.jpg').write_bytes(b'')
    (folder / 'cut.jpg').write_bytes((photographs / 'JPEGImages/a.jpg').read_bytes()[:300])
    (folder / 'text.png').write_text('no image')
    options = {'int8': True, 'calibration': folder, 'evaluate': False}
    with pytest.raises(InputError, match=r'no image to calibrate with in .*images: expected --calibration DIR'):
        export(untrained, 'onnx', tmp_path / 'a.onnx', **options)
    assert not list(tmp_path.glob('a.onnx*'))
    shutil.copy(photographs / 'JPEGImages/a.jpg', folder)
    export(untrained, 'onnx', tmp_path / 'a.onnx', **options)
    assert {path.name for path in tmp_path.glob('a.*')} == {'a.onnx'}


def test_nothing_is_left_where_writing_fails(untrained, tmp_path, monkeypatch):
    export(untrained, 'onnx', tmp_path / 'a.onnx', evaluate=False)
    before = (tmp_path / 'a.onnx').read_bytes()

    def fails(model, path):
        path.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(onnx, 'save', fails)
    with pytest.raises(OSError, match='No space left'):
        export(untrained, 'onnx', tmp_path / 'a.onnx', evaluate=False)
    assert (tmp_path / 'a.onnx').read_bytes() == before and not list(tmp_path.glob('*.partial'))


def test_a_malicious_artefact(artefact, tmp_path):
    meta = json.loads(next(each.value for each in artefact.metadata_props if each.key == 'mmnetaug'))
    meta['config']['test_dataloader']['dataset']['pipeline'][0] = {'type': 'subprocess.Popen', 'args': 'true'}
    saying(artefact, tmp_path / 'a.onnx', config=meta['config'])
    with pytest.raises(InputError, match='which could run code or touch files'):
        Detector(tmp_path / 'a.onnx')
