"""TFLite, which takes a gigabyte of packages: `make test-tflite`. The truth is PyTorch, LiteRT's reference kernels and
what tflite-micro says of itself."""

import copy
import json
import re
import runpy
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import ROOT, by_c, detector_config, pretrain_config, with_larger_head, write_photographs

pytest.importorskip('litert_torch', reason="needs pip install 'mmnetaug[tflite]'")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

from mmnetaug import Detector, InputError, peak_memory
from mmnetaug.apis.benchmark import benchmark
from mmnetaug.apis.export import export, load_deployable
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.apis.overrides import gray_options
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.deploy.decode import postprocess
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.network import Deployable
from mmnetaug.deploy.runtime import open_artefact
from mmnetaug.deploy.tflite import arena, write_tflite
from mmnetaug.evaluation.memory import table_bytes

CONFIGS = ['ssdlite_baseline', 'yolov3_baseline_adamw', 'yolov3_relu6_baseline', 'rtmdet_baseline', 'gfl_baseline']


@pytest.fixture(scope='module', params=CONFIGS)
def trained(tmp_path_factory, request):
    """Data and the export of a detector that was trained on it for a moment."""
    folder = tmp_path_factory.mktemp(request.param)
    write_photographs(folder)
    config = detector_config(folder, folder / 'run', f'{request.param}_voc', epochs=2)
    config.model.test_cfg.update(score_thr=0.001, conf_thr=0.0001)
    return folder, train_detector(config)['checkpoint']


def test_float_and_int8(trained, tmp_path):
    folder, checkpoint = trained
    export(checkpoint, 'tflite', tmp_path / 'a.tflite', evaluate=False)
    images = sorted((folder / 'JPEGImages').iterdir())
    deployable = load_deployable(checkpoint)
    artefact = open_artefact(tmp_path / 'a.tflite')
    for image in Inputs(deployable.meta).pixels(images[:2]):
        with torch.no_grad():
            truth = [level[0].numpy() for level in deployable.network(torch.from_numpy(image))]
        assert max(np.abs(one - other).max() for one, other in zip(artefact.run(image[0]), truth)) < 1e-4
    detector, many = Detector(tmp_path / 'a.tflite'), images[:4] * 4
    alone = [detector(image) for image in many]
    assert np.array_equal(copy.deepcopy(detector)(many[0]).boxes, alone[0].boxes)
    with ThreadPoolExecutor(4) as threads:
        for one, other in zip(alone, threads.map(detector, many)):
            assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.scores, other.scores)

    result = export(checkpoint, 'tflite', tmp_path / 'b.tflite', int8=True, c_code=True)
    assert result['bytes'] < (tmp_path / 'a.tflite').stat().st_size
    content = (tmp_path / 'b.tflite').read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    assert max(buffer.offset for buffer in model.buffers) <= 1
    in_float = {tensor.type for tensor in model.subgraphs[0].tensors} & {schema.TensorType.FLOAT32}
    assert bool(in_float) == ('yolov3_baseline' in str(folder)), 'LeakyReLU alone'
    described = json.loads((tmp_path / 'b.json').read_text())
    assert {each['dtype'] for each in [described['input'], *described['output_tensors']]} == {'int8'}
    used, tables = arena(tmp_path / 'b.tflite'), table_bytes(deployable.network)
    assert used['head'] == described['peak_memory']
    assert abs(tables[0] - used['tail']) < 20_000 and abs(described['weight_bytes'] + tables[1] - len(content)) < 20_000
    graph = model.subgraphs[0]
    assert sum(bool(tensor.name) for tensor in graph.tensors) == len(graph.inputs) + len(graph.outputs)
    options = [each.builtinOptions for each in graph.operators]
    doubled = [each for each in options if isinstance(each, schema.ResizeNearestNeighborOptionsT)]
    assert len(doubled) == (0 if 'ssdlite' in str(folder) else 2)
    assert not any(each.halfPixelCenters for each in doubled), 'which MNN does not read'

    # the same integers from a microcontroller's kernels, and the same boxes from C
    artefact = open_artefact(tmp_path / 'b.tflite')
    reference = Interpreter(str(tmp_path / 'b.tflite'), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    micro = runtime.Interpreter.from_file(str(tmp_path / 'b.tflite'), arena_size=1 << 26)
    image = next(Inputs(artefact.meta).pixels(images[:1]))[0]
    (given,) = reference.get_input_details()
    scale, zero = given['quantization']
    pixels = np.clip(np.round(image.transpose(1, 2, 0)[None] / scale) + zero, -128, 127).astype(np.int8)
    reference.set_tensor(given['index'], pixels)
    micro.set_input(pixels, 0)
    reference.invoke()
    micro.invoke()
    details = {each['name']: each for each in reference.get_output_details()}
    outputs = [reference.get_tensor(details[each['name']]['index']) for each in described['output_tensors']]
    mine = [micro.get_output(place) for place in range(len(outputs))]
    assert len(mine) == len(outputs)
    for output in outputs:
        assert any(other.shape == output.shape and (other == output).all() for other in mine)
    maps = [
        ((output[0].astype(np.float32) - each['zero_point']) * np.float32(each['scale'])).transpose(2, 0, 1)
        for output, each in zip(outputs, described['output_tensors'])
    ]
    stored = [np.ascontiguousarray(output[0]) for output in outputs]
    found, truth = (
        sorted(zip(labels.tolist(), scores.astype(float).round(5).tolist(), boxes.astype(float).round(2).tolist()))
        for boxes, scores, labels in (by_c(tmp_path, 'b', stored), postprocess(maps, described['head']))
    )
    assert len(found) > 10 and abs(len(found) - len(truth)) <= 2
    # of nearly equal scores either may come first
    assert sum(each in truth for each in found) > 0.9 * len(found)


@pytest.mark.parametrize('given', [['--gray'], ['--size', '160', '120']], ids=['gray', 'padded'])
def test_small_cameras(tmp_path, monkeypatch, given):
    """From the command line: the boxes of PyTorch, in the image and none in the padding, and the arena."""
    photographs = write_photographs(tmp_path / 'photographs')
    config = detector_config(photographs, tmp_path / 'run', 'ssdlite_baseline_voc', size=96, epochs=1)
    options = size_options(config, (160, 120)) if '--size' in given else gray_options(config)
    config.merge_from_dict({**options, 'model.test_cfg.score_thr': 0.005, 'model.test_cfg.nms_pre': 60})
    checkpoint = with_larger_head(train_detector(config)['checkpoint'])
    for name in ('a', 'b'):
        arguments = [checkpoint, '--format', 'tflite', '--out', str(tmp_path / f'{name}.tflite'), '--no-eval']
        monkeypatch.setattr(sys, 'argv', ['export.py', *arguments, *(['--int8', '--c'] if name == 'b' else [])])
        runpy.run_path(str(ROOT / 'tools/export.py'), run_name='__main__')
    described = json.loads((tmp_path / 'b.json').read_text())
    gray = '--gray' in given
    assert described['input']['shape'] == ([1, 96, 96, 1] if gray else [1, 128, 160, 3])
    assert described['head']['size'] == ([96, 96] if gray else [160, 120])
    assert arena(tmp_path / 'b.tflite')['head'] == described['peak_memory']
    image = photographs / 'JPEGImages/a.jpg'
    found, truth = Detector(tmp_path / 'a.tflite')(image), Detector(checkpoint)(image)
    assert len(found.boxes) == len(truth.boxes) > 10 and np.abs(found.boxes - truth.boxes).max() < 1e-2
    assert (found.labels == truth.labels).all() and found.boxes[:, 3].max() < 48.001
    assert len(Detector(tmp_path / 'b.tflite')(image).boxes) > 10
    header = (tmp_path / 'b_detect.h').read_text()
    assert ('160x120 of them at the top left' in header) != gray and '#define b_INPUT_ZERO_POINT' in header
    artefact = open_artefact(tmp_path / 'b.tflite')
    maps = artefact.run(next(Inputs(artefact.meta).pixels([image]))[0])
    truth = postprocess(maps, described['head'])
    stored = [
        np.round(each.transpose(1, 2, 0) / tensor['scale'] + tensor['zero_point']).astype(np.int8)
        for each, tensor in zip(maps, described['output_tensors'])
    ]
    boxes, scores, _ = by_c(tmp_path, 'b', list(map(np.ascontiguousarray, stored)))
    assert len(boxes) == len(truth[0]) and np.abs(np.sort(scores) - np.sort(truth[1])).max() < 1e-5


@pytest.mark.parametrize('factor', [2, 3])
def test_maps_grow_as_in_pytorch(tmp_path, factor):
    network = torch.nn.Sequential(torch.nn.Upsample(scale_factor=factor, mode='nearest'), torch.nn.Conv2d(3, 2, 1))
    meta = {'task': 'detection', 'size': [7, 5], 'channels': 'RGB', 'outputs': ['map0']}
    deployable = Deployable(network, meta)
    write_tflite(deployable, tmp_path / 'a.tflite')
    interpreter = Interpreter(str(tmp_path / 'a.tflite'), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], deployable.example.permute(0, 2, 3, 1).numpy())
    interpreter.invoke()
    (output,) = (interpreter.get_tensor(each['index']) for each in interpreter.get_output_details())
    with torch.no_grad():
        truth = network(deployable.example)[0].permute(1, 2, 0).numpy()
    assert np.abs(output[0] - truth).max() < 1e-3


def test_int8_cuts_off_nothing_of_a_rare_image(tmp_path):
    """As a large object is, whose distances few images have."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1))
    for value, parameter in zip((0.5, 0.0), network[0].parameters()):
        torch.nn.init.constant_(parameter, value)
    meta = {'task': 'detection', 'size': [8, 8], 'channels': 'RGB', 'outputs': ['map0']}
    images = [np.full((1, 3, 8, 8), value, np.float32) for value in (1, 1, 200, 1, 1)]
    write_tflite(Deployable(network, meta), tmp_path / 'a.tflite', images)
    described = json.loads((tmp_path / 'a.json').read_text())
    assert (described['input']['scale'], described['input']['zero_point']) == (1, -128), 'all pixels, however bright'
    (output,) = described['output_tensors']
    assert (127 - output['zero_point']) * output['scale'] == pytest.approx(0.5 * 3 * 200, rel=0.01)


def test_a_file_in_a_program_of_others(trained, tmp_path, monkeypatch):
    """That of the documentation, without mmnetaug."""
    folder, checkpoint = trained
    export(checkpoint, 'tflite', tmp_path / 'export.int8.tflite', int8=True, evaluate=False)
    shutil.copy(folder / 'JPEGImages/a.jpg', tmp_path / 'photograph.jpg')
    shutil.copy(ROOT / 'mmnetaug/deploy/decode.py', tmp_path)
    (block,) = re.findall('<!-- tflite -->\n```python\n(.*?)```', (ROOT / 'docs/deployment.md').read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'decode', raising=False)
    names = {}
    exec(block, names)
    truth = Detector('export.int8.tflite')('photograph.jpg')
    assert len(truth.boxes) > 10 and (names['labels'] == truth.labels).all()
    assert np.abs(names['boxes'] - truth.boxes).max() < 1e-2 and np.abs(names['scores'] - truth.scores).max() < 1e-5


def test_a_file_without_its_json(trained, tmp_path):
    if 'ssdlite' not in trained[1]:
        pytest.skip('one head is enough')
    export(trained[1], 'tflite', tmp_path / 'a.tflite', evaluate=False)
    content, said = (tmp_path / 'a.tflite').read_bytes(), json.loads((tmp_path / 'a.json').read_text())
    for name, model, beside in [
        ('alone', content, None),
        ('empty', b'', said),
        ('cut', content[: len(content) // 2], said),
        ('text', content, 'no JSON'),
    ]:
        (tmp_path / f'{name}.tflite').write_bytes(model)
        if beside:
            (tmp_path / f'{name}.json').write_text(json.dumps(beside) if isinstance(beside, dict) else beside)
        with pytest.raises(InputError, match=r'are no TFLite file of mmnetaug export .*: export it again'):
            Detector(tmp_path / f'{name}.tflite')
    for changes, message in [
        ({'version': 2}, 'is of another release'),
        ({'size': [96, -96]}, 'its size is'),
        ({'size': [128, 128]}, 'is another network than it says'),
        ({'output_tensors': said['output_tensors'][1:]}, 'is another network than it says'),
        ({'output_tensors': 'all'}, 'is another network than it says'),
        ({'head': {**said['head'], 'score_thr': 'low'}}, 'does not fit its maps'),
        ({'head': {**said['head'], 'priors': said['head']['priors'][1:]}}, 'does not fit its maps'),
        ({'config': {'model': {'type': 'os.system'}}}, 'which could run code or touch files'),
    ]:
        (tmp_path / 'a.json').write_text(json.dumps({**said, **changes}))
        with pytest.raises(InputError, match=message):
            Detector(tmp_path / 'a.tflite')
    assert len(list(tmp_path.glob('*.partial'))) == 0


def test_a_classifier_and_its_arena(image_tree, tmp_path):
    pretrain(pretrain_config(image_tree, tmp_path / 'run', 'baseline_mbv2_tiny_cifar100', epochs=1))
    checkpoint = tmp_path / 'run/export.pth'
    export(checkpoint, 'tflite', tmp_path / 'a.tflite')
    deployable = load_deployable(checkpoint)
    with torch.no_grad():
        truth = deployable.network(deployable.example)[0][0].numpy()
    assert np.abs(open_artefact(tmp_path / 'a.tflite').run(deployable.example[0].numpy())[0] - truth).max() < 1e-4
    export(checkpoint, 'tflite', tmp_path / 'b.tflite', int8=True, calibration=image_tree)
    small, large = arena(tmp_path / 'b.tflite'), arena(tmp_path / 'a.tflite')
    assert small['head'] == peak_memory(deployable.network.network, 32)
    assert 4 * small['head'] == large['head'] and small['total'] == small['head'] + small['tail']


def test_int8_within_two_points_of_float(shared, tmp_path):
    """On real photographs, BCCD."""
    weights = shared / 'reference/keras_mobilenetv2_w0.35_no_top.h5'
    config = detector_config(shared / 'data/bccd', tmp_path / 'run', 'ssdlite_baseline_voc', size=224, epochs=12)
    config.model.backbone.arch = 'mobilenetv2_w0.35'
    config.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': str(weights)}
    checkpoint = train_detector(config)['checkpoint']
    for kind in ('onnx', 'tflite'):
        result = export(checkpoint, kind, tmp_path / f'a.{kind}', int8=True)
        assert result['before']['AP50_area'] > 0.3
        assert abs(result['before']['AP50_area'] - result['after']['AP50_area']) < 0.02
    (row,) = benchmark([tmp_path / 'a.tflite'], ['int8'], tmp_path / 'benchmark')
    assert row['arena_bytes'] > 1_000_000 and row['AP50_area'] == result['after']['AP50_area']
