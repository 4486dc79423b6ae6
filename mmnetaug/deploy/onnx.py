"""ONNX: from pixels to boxes in one graph, in float or with int8 convolutions."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmnetaug import __version__
from mmnetaug.deploy.network import Decoder, Deployable
from mmnetaug.deploy.runtime import META
from mmnetaug.extras import need
from mmnetaug.progress import quiet
from mmnetaug.records import whole

DETECTIONS = ('boxes', 'scores', 'labels')
# The oldest that PyTorch exports our graphs to, so that old runtimes read the files, such as onnxruntime 1.15.
OPSET, IR = 18, 8


def write_onnx(
    deployable: Deployable, path: str | Path, raw: bool = False, calibration: Iterable[np.ndarray] | None = None
) -> None:
    """Write an ONNX file, whole or not at all.

    Its input ``image`` is (1, 3, H, W) float pixels from 0 to 255. Its outputs are ``boxes`` (n, 4), corners in pixels
    of the input, ``scores`` (n,) and ``labels`` (n,); with ``raw`` the head's maps; of a classifier ``logits``.

    Args:
        deployable: what to write.
        path: of the file.
        raw: leave decoding and non-maximum suppression out, as for a head that has no decoder here.
        calibration: images as the input takes them. With them convolutions and linear layers are int8: static, weights
            per channel.

    Raises:
        InputError: the packages for it are missing.
    """
    onnx = need('onnx', 'onnxscript', 'onnxruntime')
    meta = deployable.meta
    model = _exported(deployable.network, (deployable.example,), ['image'], meta['outputs'])
    if calibration is not None:
        model = _quantised(model, calibration)
    if meta['head'] and not raw:
        model = _with_decoder(model, deployable)
        meta = {**meta, 'outputs': list(DETECTIONS)}
    facts = {
        META: json.dumps({**meta, 'head': None} if meta['outputs'][0] == 'boxes' else meta),
        'classes': ', '.join(meta['classes']),
        'size': '{}x{}'.format(*meta['size']),
        'layout': 'NCHW',
        'channels': meta['channels'],
        'values': '0 to 255',
        'resize': meta['resize'],
    }
    if meta['head']:
        facts |= {name: str(meta['head'][name]) for name in ('score_thr', 'iou_thr', 'max_per_img')}
    _strip(model)
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = 'mmnetaug', __version__
    model.ir_version = IR
    onnx.checker.check_model(model)
    with whole(path) as partial:
        onnx.save(model, partial)


def _exported(network: nn.Module, inputs: tuple, names: list[str], outputs: list[str]) -> Any:
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            inputs,
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    return program.model_proto


def _strip(model: Any) -> None:
    """Leave out what the exporter notes to be debugged by, a third of a file: shapes of what is in between, and paths
    and lines of the source; and sets of operators of which none is used, which other runtimes may not have."""
    graph = model.graph
    opsets = {each.domain: each.version for each in model.opset_import}
    del model.opset_import[:]
    for domain in sorted({node.domain for node in graph.node}):
        model.opset_import.add(domain=domain, version=opsets[domain])
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]


def _with_decoder(model: Any, deployable: Deployable) -> Any:
    """Append the decoder, non-maximum suppression of each class, and the choice of the best."""
    import onnx
    from onnx import TensorProto, helper

    meta, head = deployable.meta, deployable.meta['head']
    with torch.no_grad():
        maps = deployable.network(deployable.example)
    names = [f'in_{name}' for name in meta['outputs']]
    decoder = _exported(Decoder(head), tuple(maps), names, ['all_boxes', 'all_scores'])
    decoder.ir_version = model.ir_version
    merged = onnx.compose.merge_models(
        model, decoder, io_map=list(zip(meta['outputs'], names)), prefix1='', prefix2='decode_'
    )
    boxes, scores = 'decode_all_boxes', 'decode_all_scores'
    constants = {
        'nms_most': np.array([len(head['priors'])], np.int64),
        'nms_iou': np.array([head['iou_thr']], np.float32),
        'nms_least': np.array([0], np.float32),
        'at_class': np.array([1], np.int64),
        'at_prior': np.array([2], np.int64),
        'at_end': np.array([3], np.int64),
        'most': np.array([head['max_per_img']], np.int64),
        'first': np.array([0], np.int64),
        'second': np.array([1], np.int64),
    }
    merged.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    merged.graph.node.extend(
        [
            helper.make_node('NonMaxSuppression', [boxes, scores, 'nms_most', 'nms_iou', 'nms_least'], ['selected']),
            helper.make_node('GatherND', [scores, 'selected'], ['selected_scores']),
            helper.make_node('Shape', ['selected_scores'], ['found']),
            helper.make_node('Min', ['found', 'most'], ['returned']),
            helper.make_node('TopK', ['selected_scores', 'returned'], ['scores', 'order']),
            helper.make_node('Gather', ['selected', 'order'], ['chosen'], axis=0),
            helper.make_node('Slice', ['chosen', 'at_class', 'at_prior', 'second'], ['chosen_labels']),
            helper.make_node('Squeeze', ['chosen_labels', 'second'], ['labels']),
            helper.make_node('Slice', ['chosen', 'at_prior', 'at_end', 'second'], ['chosen_priors']),
            helper.make_node('Squeeze', ['chosen_priors', 'second'], ['priors']),
            helper.make_node('Squeeze', [boxes, 'first'], ['one_boxes']),
            helper.make_node('Gather', ['one_boxes', 'priors'], ['boxes'], axis=0),
        ]
    )
    del merged.graph.output[:]
    merged.graph.output.extend(
        [
            helper.make_tensor_value_info('boxes', TensorProto.FLOAT, ['n', 4]),
            helper.make_tensor_value_info('scores', TensorProto.FLOAT, ['n']),
            helper.make_tensor_value_info('labels', TensorProto.INT64, ['n']),
        ]
    )
    return merged


def _quantised(model: Any, calibration: Iterable[np.ndarray]) -> Any:
    """Static 8 bits with scales from images, weights of convolutions and linear layers per channel."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        images = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {'image': image}

    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, ready, done = (str(Path(folder, name)) for name in ('plain.onnx', 'ready.onnx', 'done.onnx'))
        onnx.save(model, plain)
        quant_pre_process(plain, ready)
        quantize_static(
            ready,
            done,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # with QInt8 onnxruntime computes half of the convolutions in float
            weight_type=QuantType.QInt8,
        )
        return onnx.load(done)
