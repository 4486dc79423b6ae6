"""Artefacts of ``mmnetaug export`` at work: ONNX files by onnxruntime, TFLite files by LiteRT."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmnetaug.deploy.decode import KINDS, postprocess
from mmnetaug.deploy.network import number_of_channels
from mmnetaug.errors import InputError, check_whole, printable
from mmnetaug.extras import need
from mmnetaug.trust import check_config

ARTEFACTS = ('.onnx', '.tflite')
VERSION = 1  # of what an artefact says of itself
META = 'mmnetaug'  # where an ONNX file says what it is


def is_artefact(path: str | Path) -> bool:
    """Whether a file is one of these, by its suffix."""
    return Path(path).suffix.lower() in ARTEFACTS


# What an artefact says of itself -> whether it can be that.
SAID: dict[str, Callable[[Any], bool]] = {
    'task': lambda value: value in ('detection', 'classification'),
    'classes': lambda value: _list_of(str, value),
    'size': lambda value: _list_of(int, value) and len(value) == 2 and min(value) > 0,
    'channels': lambda value: value in ('RGB', 'BGR', 'GRAY'),
    'outputs': lambda value: _list_of(str, value),
    'head': lambda value: value is None or (isinstance(value, dict) and value.get('kind') in KINDS),
}
AGAIN = 'export it again with mmnetaug export'


class Artefact:
    """A network in a file.

    Args:
        path: of an ``.onnx``, or a ``.tflite`` that has its JSON beside it.
        threads: that it may use; as many as PyTorch if None.

    Attributes:
        meta: what it says of itself, see :class:`~mmnetaug.deploy.network.Deployable`.

    Raises:
        InputError: no such file, another one, one that is not plain data or does not say what it is, or the package for
            it is missing.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        if threads is not None:
            threads = check_whole('threads', threads, 1)
        self.path, self.threads = Path(path), threads or torch.get_num_threads()
        if not self.path.is_file():
            raise InputError(f'no file at {path}: expected an .onnx or .tflite of mmnetaug export')
        self.meta = self._open()
        _check_meta(self.meta, self.path)
        width, height = self.meta['size']
        self.shape = (number_of_channels(self.meta), height, width)
        if problem := self._connect():
            raise InputError(f'{path} is another network than it says ({problem}): {AGAIN}')

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, open the file again: what runs it is no plain data."""
        return type(self), (self.path.absolute(), self.threads)

    def _open(self) -> Any:
        """Open the file; what it says of itself."""
        raise NotImplementedError

    def _connect(self) -> str:
        """Find inputs and outputs; why they are not those of ``meta``, or nothing."""
        raise NotImplementedError

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """(C, H, W) float32 pixels from 0 to 255, in its order of channels -> its outputs."""
        raise NotImplementedError

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(C, H, W) pixels as :meth:`run` takes them -> boxes (n, 4) in pixels of the input, scores and labels (n,).

        Raises:
            InputError: an image of another size, or a head that is not that of the maps.
        """
        if image.shape != self.shape:
            raise InputError(f'{self.path} takes images of {self.shape} (channels, height, width), not {image.shape}')
        outputs = self.run(image)
        try:
            decoded = self.meta['outputs'][0] == 'boxes'
            boxes, scores, labels = outputs if decoded else postprocess(outputs, self.meta['head'])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f'what {self.path} says of its head does not fit its maps ({error!r}): {AGAIN}') from error
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.meta['classes']):
            raise InputError(f'{self.path} finds more than its {len(self.meta["classes"])} classes: {AGAIN}')
        return boxes, scores, labels

    def check_size(self, width: int, height: int) -> None:
        """Raise :class:`InputError` unless it takes images of this size in pixels."""
        if [width, height] != self.meta['size']:
            width, height = self.meta['size']
            raise InputError(f'{self.path} takes images of {width}x{height} pixels alone: leave out --size')

    def check_boxes(self) -> None:
        """Raise :class:`InputError` where :meth:`detect` cannot give boxes."""
        if self.meta['task'] != 'detection':
            raise InputError(f'{self.path} is a classifier: expected a detector')
        if self.meta['outputs'][0] != 'boxes' and not self.meta['head']:
            raise InputError(f'{self.path} gives raw maps of a head that nothing here decodes: expected one with boxes')
        self.detect(np.zeros(self.shape, np.float32))

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """A batch as models of MMEngine take it: ``inputs``, (3, H, W) uint8 BGR each, and ``data_samples``.

        Returns:
            Of a detector the samples with ``pred_instances``, boxes in pixels of the original images; of a classifier
            dicts of ``logits`` (classes,) and ``label``, the sample.
        """
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples']):
            image = image.numpy().astype(np.float32)
            image = image[::-1] if self.meta['channels'] == 'RGB' else image
            if self.meta['task'] == 'classification':
                samples.append({'logits': torch.from_numpy(self.run(image)[0]), 'label': sample})
                continue
            boxes, scores, labels = self.detect(image)
            scale = np.tile(np.asarray(sample.scale_factor, np.float32), 2)
            sample.pred_instances = InstanceData(
                bboxes=torch.from_numpy(boxes / scale),
                scores=torch.from_numpy(np.ascontiguousarray(scores)),
                labels=torch.from_numpy(np.asarray(labels, np.int64)),
            )
            samples.append(sample)
        return samples

    def latency(self, repeats: int = 30, images: Sequence[np.ndarray] = ()) -> float:
        """Median milliseconds for one image, from pixels to boxes; the first three do not count.

        Args:
            repeats: how many count.
            images: taken in turn, each (C, H, W) float32 as the artefact takes them; noise where there are none.
        """
        images = images or [np.random.default_rng(0).integers(0, 256, self.shape).astype(np.float32)]
        seconds = []
        for image in itertools.islice(itertools.cycle(images), repeats + 3):
            start = time.perf_counter()
            self.detect(image) if self.meta['task'] == 'detection' else self.run(image)
            seconds.append(time.perf_counter() - start)
        return round(1000 * median(seconds[3:]), 2)


class OnnxArtefact(Artefact):
    """An ONNX file."""

    def _open(self) -> Any:
        onnxruntime = need('onnxruntime')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(self.path), options, providers=['CPUExecutionProvider'])
            return json.loads(self.session.get_modelmeta().custom_metadata_map[META])
        except Exception as error:  # of onnxruntime's kinds, which share no class
            raise InputError(
                f'{self.path} is no ONNX file of mmnetaug export ({type(error).__name__}): export it again'
            ) from error

    def _connect(self) -> str:
        given = {each.name: tuple(each.shape) for each in self.session.get_inputs()}
        outputs = [each.name for each in self.session.get_outputs()]
        expected = {'image': (1, *self.shape)}
        if given != expected:
            return f'inputs {given} and not {expected}'
        return '' if outputs == self.meta['outputs'] else f'outputs {outputs} and not {self.meta["outputs"]}'

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        outputs = self.session.run(None, {'image': np.ascontiguousarray(image[None])})
        return outputs if self.meta['outputs'][0] == 'boxes' else [output[0] for output in outputs]


class TFLiteArtefact(Artefact):
    """A TFLite file, with the JSON of the same name beside it."""

    def _open(self) -> Any:
        need('ai_edge_litert')
        from ai_edge_litert.interpreter import Interpreter

        beside = self.path.with_suffix('.json')
        try:
            meta = json.loads(beside.read_text(encoding='utf-8'))
            self.interpreter = Interpreter(str(self.path), num_threads=self.threads)
            self.interpreter.allocate_tensors()
            self.lock = threading.Lock()  # the interpreter has one set of tensors
        except (OSError, ValueError, RuntimeError) as error:
            said = str(error).splitlines() or [type(error).__name__]
            raise InputError(
                f'{self.path} and {beside.name} beside it are no TFLite file of mmnetaug export ({said[0]}): export it '
                'again'
            ) from error
        return meta

    def _connect(self) -> str:
        (self.input, *others), (channels, height, width) = self.interpreter.get_input_details(), self.shape
        if others or tuple(self.input['shape']) != (1, height, width, channels):
            return f'an input of {self.input["shape"].tolist()} and not {[1, height, width, channels]}'
        details = {each['name']: each for each in self.interpreter.get_output_details()}
        try:
            self.outputs = [details[each['name']] for each in self.meta['output_tensors']]
        except (KeyError, TypeError) as error:
            return f'its outputs are {", ".join(details)}: {error!r}'
        return '' if len(self.outputs) == len(self.meta['outputs']) else f'{len(self.outputs)} outputs'

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        values = _quantise(image.transpose(1, 2, 0)[None], self.input)
        with self.lock:
            self.interpreter.set_tensor(self.input['index'], values)
            self.interpreter.invoke()
            given = [self.interpreter.get_tensor(each['index'])[0] for each in self.outputs]
        found = [_dequantise(output, each) for output, each in zip(given, self.outputs)]
        return [each if each.ndim == 1 else each.transpose(2, 0, 1) for each in found]


def _check_meta(meta: Any, path: Path) -> None:
    if not isinstance(meta, dict) or 'version' not in meta:
        raise InputError(f'{path} does not say what it is: {AGAIN}')
    if meta['version'] != VERSION:
        raise InputError(
            f'{path} is of another release (version {printable(meta["version"])[:20]}, and this one reads {VERSION}): '
            f'{AGAIN}'
        )
    for name, right in SAID.items():
        if not right(meta.get(name)):
            raise InputError(f'{path} says that its {name} is {printable(meta.get(name))[:80]}: {AGAIN}')
    if meta['task'] == 'detection':
        check_config(meta.get('config'), str(path))


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is kind for each in value)


def _quantise(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail['quantization']
    if not scale:
        return np.ascontiguousarray(values, detail['dtype'])
    limits = np.iinfo(detail['dtype'])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(detail['dtype'])


def _dequantise(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail['quantization']
    return values if not scale else (values.astype(np.float32) - zero) * np.float32(scale)


def open_artefact(path: str | Path, threads: int | None = None) -> Artefact:
    """The artefact in a file, see :class:`Artefact`."""
    return (OnnxArtefact if Path(path).suffix.lower() == '.onnx' else TFLiteArtefact)(path, threads)
