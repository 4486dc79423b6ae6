"""TFLite, which takes a gigabyte of packages: `make test-tflite`. The truth is PyTorch, LiteRT's reference kernels and
what tflite-micro says of itself."""

import json

import numpy as np
import pytest
import torch
from helpers import by_c, detector_config, pretrain_config, write_photographs

pytest.importorskip('litert_torch', reason='needs pip install mmnetaug[tflite]')

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

from mmnetaug import Detector, peak_memory
from mmnetaug.apis.benchmark import benchmark
from mmnetaug.apis.export import export, load_deployable
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.apis.train import train_detector
from mmnetaug.deploy.decode import postprocess
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.runtime import open_artefact
from mmnetaug.deploy.tflite import arena


@pytest.fixture(scope='module', params=['ssdlite_baseline', 'yolov3_baseline_adamw', 'rtmdet_baseline', 'gfl_baseline'])
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
    assert Detector(tmp_path / 'a.tflite')(images[0]).boxes.shape[1] == 4

    result = export(checkpoint, 'tflite', tmp_path / 'b.tflite', int8=True, c_code=True)
    assert result['bytes'] < (tmp_path / 'a.tflite').stat().st_size
    content = (tmp_path / 'b.tflite').read_bytes()
    assert max(buffer.offset for buffer in schema.ModelT.InitFromPackedBuf(content, 0).buffers) <= 1
    described = json.loads((tmp_path / 'b.json').read_text())
    assert {each['dtype'] for each in [described['input'], *described['output_tensors']]} == {'int8'}
    assert arena(tmp_path / 'b.tflite')['head'] == described['peak_memory']

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
