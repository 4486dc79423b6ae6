"""A trained detector in a program."""

import numbers
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from mmnetaug.apis.test import build_detector, model_meta
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.runtime import is_artefact, open_artefact
from mmnetaug.errors import InputError
from mmnetaug.models.fusion import fused

Image = str | Path | np.ndarray
TOGETHER = 16  # images of a list in a batch: more take memory and no less time


class Detections(NamedTuple):
    """The objects in an image, best first.

    Attributes:
        boxes: (n, 4) float32, x1, y1, x2 and y2 in pixels of the original image.
        scores: (n,) float32, from 0 to 1.
        labels: (n,) int64, numbers of the classes.
        names: of the classes of the n objects.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]


class Detector:
    """A trained detector: ``Detector('export.pth')('photograph.jpg')``.

    Args:
        path: an ``export.pth``, ``export.safetensors`` or ``epoch_N.pth`` of ``mmnetaug train``, or an ``.onnx`` or
            ``.tflite`` of ``mmnetaug export``.
        device: where PyTorch runs, such as 'cuda'; artefacts run on the CPU.
        threads: that an artefact may use; as many as PyTorch if None.

    Attributes:
        classes: names of the classes.

    Raises:
        InputError: the file cannot be used, or there is no such device.
    """

    def __init__(self, path: str | Path, device: str = 'cpu', threads: int | None = None) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f'{path!r} is no path: expected one of an export.pth, .onnx or .tflite')
        if is_artefact(path):
            if device != 'cpu':
                raise InputError(f'{path} runs on the CPU: leave out the device {device}')
            self.model: Any = open_artefact(path, threads)
            self.model.check_boxes()
            meta = self.model.meta
        else:
            if threads is not None:
                raise InputError(f'threads={threads} is for .onnx and .tflite: PyTorch has torch.set_num_threads')
            meta = model_meta(path)
            try:
                torch.zeros((), device=device).item()  # of the device 'meta' there are no values
                self.model = fused(build_detector(path)).to(torch.device(device))
            except (RuntimeError, AssertionError, TypeError) as error:
                said = str(error).splitlines()[0]
                raise InputError(f'device {device}: {said}. Expected cpu, or cuda where PyTorch sees a GPU') from error
        self.classes = list(meta['classes'])
        self._inputs = Inputs(meta)
        self._device = torch.device(device).type

    @overload
    def __call__(self, images: Image, score_thr: float = 0.0) -> Detections: ...

    @overload
    def __call__(
        self, images: list[Any] | tuple[Image, ...] | Iterator[Image], score_thr: float = 0.0
    ) -> list[Detections]: ...

    def __call__(
        self, images: Image | list[Any] | tuple[Image, ...] | Iterator[Image], score_thr: float = 0.0
    ) -> Detections | list[Detections]:
        """Find objects.

        Args:
            images: a path, an (H, W, 3) uint8 BGR array as ``cv2.imread`` gives, or a list or
                iterator of these, which are read a few at a time.
            score_thr: least score of an object, from 0 to 1.

        Returns:
            What was found; of a list or iterator, a list.

        Raises:
            InputError: no image at a path, an array of another kind, or a score out of range.
        """
        if not isinstance(score_thr, numbers.Real) or not 0 <= score_thr <= 1:
            raise InputError(f'score_thr is {score_thr!r}: expected a number from 0 to 1')
        if not isinstance(images, (list, tuple, Iterator)):
            return self([images], score_thr)[0]
        found: list[Detections] = []
        left = iter(images)
        while inputs := [self._inputs.read(image) for image in islice(left, TOGETHER)]:
            batch = {name: [each[name] for each in inputs] for name in ('inputs', 'data_samples')}
            with torch.no_grad(), torch.autocast(self._device, enabled=False):  # of a program around it
                samples = self.model.test_step(batch)
            found += [self._found(sample.pred_instances.cpu(), score_thr) for sample in samples]
        return found

    def _found(self, instances: Any, score_thr: float) -> Detections:
        kept = instances[instances.scores >= score_thr]
        labels = kept.labels.numpy()
        names = [self.classes[label] for label in labels.tolist()]
        return Detections(kept.bboxes.float().numpy(), kept.scores.float().numpy(), labels, names)
