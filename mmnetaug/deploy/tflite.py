"""TFLite, in float or int8: the raw maps of a network, and a JSON beside with what turns them into boxes."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmnetaug.deploy.network import Deployable
from mmnetaug.errors import InputError
from mmnetaug.extras import need
from mmnetaug.progress import quiet
from mmnetaug.records import whole, write_json

SIGNATURE, INPUT = 'serving_default', 'args_0'  # litert-torch's names
# What tflite-micro says of its memory -> the name in a result.
ARENA = {'head': r'Arena allocation head (\d+) bytes', 'tail': r'Arena allocation tail (\d+) bytes'}


def write_tflite(deployable: Deployable, path: str | Path, calibration: Iterable[np.ndarray] | None = None) -> None:
    """Write a TFLite file, and beside it a JSON of the same name, each whole or not at all.

    Its input is (1, H, W, 3) pixels from 0 to 255; its outputs are the head's raw maps, (1, H, W, C) each, or
    (1, classes) logits. The JSON holds :attr:`~mmnetaug.deploy.network.Deployable.meta`, with shape, scale and zero
    point of the input and of each output in the order of ``outputs``.

    Args:
        deployable: what to write.
        path: of the ``.tflite``.
        calibration: (1, 3, H, W) images in float. With them all of it is int8: static, weights per channel, inputs and
            outputs too.

    Raises:
        InputError: the packages for it are missing.
    """
    litert_torch = need('litert_torch', 'ai_edge_quantizer', 'ai_edge_litert')
    meta, path = deployable.meta, Path(path)
    example = deployable.example.permute(0, 2, 3, 1).contiguous()
    maps = list(range(len(meta['outputs']))) if meta['task'] == 'detection' else None
    network = litert_torch.to_channel_last_io(deployable.network.eval(), args=[0], outputs=maps)
    with tempfile.TemporaryDirectory() as folder, quiet(), torch.no_grad():
        plain = str(Path(folder, 'plain.tflite'))
        litert_torch.convert(network, (example,)).export(plain)
        if calibration is not None:
            plain = _quantised(plain, calibration)
        content = _compact(Path(plain).read_bytes())
    described = {**meta, 'layout': 'NHWC', **_tensors(content), 'int8': calibration is not None}
    with whole(path) as partial:
        partial.write_bytes(content)
        write_json(path.with_suffix('.json'), described)


def _quantised(plain: str, calibration: Iterable[np.ndarray]) -> str:
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    done, rules = f'{plain}.int8', recipe.static_wi8_ai8()
    tool, manager = quantizer.Quantizer(plain), recipe_manager.RecipeManager()
    for each in (tool, manager):
        each.load_quantization_recipe(rules)
    # the quantizer's own averages the ranges of images, and cuts large objects off
    ranges = calibrator.Calibrator(plain, num_threads=torch.get_num_threads(), qsv_update_func=qsv_utils.min_max_update)
    images = [{INPUT: np.ascontiguousarray(image.transpose(0, 2, 3, 1))} for image in calibration]
    ranges.calibrate({SIGNATURE: images}, manager)
    found = ranges.get_model_qsvs()
    pixels = found[f'{SIGNATURE}_{INPUT}']  # which all fit, however dark the images: a pixel less 128
    pixels['min'], pixels['max'] = np.full_like(pixels['min'], 0), np.full_like(pixels['max'], 255)
    tool.quantize(found).export_model(done)
    return done


def _compact(content: bytes) -> bytes:
    """The same model as a chip wants it, in half to three quarters of the bytes.

    All weights are inside the flatbuffer: from 256 KB on the quantizer appends them to it, where tflite-micro does not
    look, computes with zeros, and says nothing. Tensors between input and outputs have no names, which are paths of
    modules here. Equal vectors are written once: most are zero points, of eight bytes a channel. Doubled maps say
    nothing of centres of pixels, which change nothing there, and with which MNN doubles another way.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class Builder(flatbuffers.Builder):
        def CreateNumpyVector(self, values: np.ndarray) -> int:
            key = values.dtype.str, values.tobytes()
            if key not in written:
                written[key] = super().CreateNumpyVector(values)
            return written[key]

    written: dict[tuple[str, bytes], int] = {}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content[buffer.offset : buffer.offset + buffer.size], np.uint8)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        kept = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            if number not in kept:
                tensor.name = b''
        for operator in graph.operators:
            if isinstance(operator.builtinOptions, schema.ResizeNearestNeighborOptionsT):
                given, resized = (graph.tensors[each].shape[1:3] for each in (operator.inputs[0], operator.outputs[0]))
                operator.builtinOptions.halfPixelCenters &= not np.array_equal(2 * given, resized)
    builder = Builder(len(content))
    builder.Finish(model.Pack(builder), b'TFL3')
    return bytes(builder.Output())


def _tensors(content: bytes) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=content)
    (given,) = interpreter.get_input_details()
    found = sorted(interpreter.get_output_details(), key=lambda each: _number(each['name']))
    return {'input': _tensor(given), 'output_tensors': [_tensor(each) for each in found]}


def _number(name: str) -> int:
    return int((re.findall(r'\d+', name) or ['0'])[-1])


def _tensor(detail: dict[str, Any]) -> dict[str, Any]:
    scale, zero = detail['quantization']
    return {
        'name': detail['name'],
        'shape': [int(side) for side in detail['shape']],
        'dtype': np.dtype(detail['dtype']).name,
        'scale': float(scale),
        'zero_point': int(zero),
    }


def arena(path: str | Path) -> dict[str, int]:
    """Memory that tflite-micro takes for a TFLite file: ``head`` (activations), ``tail`` (what it keeps of the model)
    and ``total``, in bytes.

    Raises:
        InputError: tflite-micro is missing, or cannot run the file.
    """
    need('tflite_micro')
    code = (
        'import sys; from tflite_micro import runtime; '
        'runtime.Interpreter.from_file(sys.argv[1], arena_size=1 << 28).print_allocations()'
    )
    done = subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True)
    said = done.stdout + done.stderr
    found = {name: re.search(pattern, said) for name, pattern in ARENA.items()}
    if not all(found.values()):
        lines = said.strip().splitlines() or ['it said nothing']
        raise InputError(f'tflite-micro cannot run {path}: {lines[-1]}')
    sizes = {name: int(match[1]) for name, match in found.items()}
    return {**sizes, 'total': sum(sizes.values())}
