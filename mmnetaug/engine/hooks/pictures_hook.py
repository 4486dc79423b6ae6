"""Pictures of what a detector is trained on, and of what it finds and takes for what."""

import copy
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnetaug.datasets.images import read_image
from mmnetaug.datasets.samplers import derived_seed, seed_cpu
from mmnetaug.evaluation.matching import ImageResult, best_threshold, confusion_matrix, precision_recall
from mmnetaug.evaluation.metrics.voc import VOCAveragePrecision
from mmnetaug.registry import HOOKS
from mmnetaug.visualization.fonts import drawable_names
from mmnetaug.visualization.plots import plot_confusion, plot_precision_recall
from mmnetaug.visualization.sheets import BoxPainter, beside, in_cell, write_sheet


@HOOKS.register_module()
class PicturesHook(Hook):
    """Draw pictures into the work directory of a detector.

    - ``train_batch.jpg``, before training starts: augmented training images with their boxes;
    - after the last validation: ``test_batch.jpg``, the objects of test images beside what is found,
      ``precision_recall.png`` and ``confusion_matrix.png``. Detections count from the score on at which the F1 of all
      classes together is highest.

    A picture that cannot be drawn is said, and ends no training.

    Args:
        train_images: on ``train_batch.jpg``; 0 for none.
        test_images: on ``test_batch.jpg``; 0 for none.
    """

    priority = 'LOW'  # after hooks that change the data set, and while weights are as they were validated

    def __init__(self, train_images: int = 9, test_images: int = 8) -> None:
        self.train_images, self.test_images = train_images, test_images
        self.results: list[ImageResult] = []
        self.collects, self.drawn = True, True

    def before_train(self, runner: Runner) -> None:
        if self.train_images and is_main_process() and not runner.iter:
            _try(runner, 'train_batch.jpg', lambda path: self._draw_training(runner, path))

    def _draw_training(self, runner: Runner, path: Path) -> None:
        dataset = runner.train_dataloader.dataset
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            seed_cpu(derived_seed(runner.seed, 0))
            dataset = _apart(dataset)
            numbers = random.sample(range(len(dataset)), min(self.train_images, len(dataset)))
            samples = [dataset[number] for number in numbers]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
        paint, pictures = BoxPainter(drawable_names(dataset.metainfo['classes'])), []
        for sample in samples:
            image = sample['inputs'].numpy().transpose(1, 2, 0)
            objects = sample['data_samples'].gt_instances
            pictures.append(paint(*in_cell(_displayed(image), _array(objects.bboxes)), objects.labels.numpy()))
        write_sheet(pictures, 3, path, 'training images as they are augmented')

    def before_val_epoch(self, runner: Runner) -> None:
        self.results, self.drawn = [], False

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if not self.collects:
            return
        try:
            self.results += [_result(sample) for sample in outputs]
        except (AttributeError, KeyError, TypeError) as error:  # of a pipeline or a detector of another kind
            runner.logger.warning(f'no pictures of the test, its samples lack something: {error}')
            self.collects, self.results = False, []

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if runner.epoch >= runner.max_epochs:
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        self._draw(runner)  # unless that is done: a training that was stopped early

    def _draw(self, runner: Runner) -> None:
        if self.drawn or not self.collects:
            return
        results = collect_results(self.results, len(runner.val_dataloader.dataset), 'cpu')
        self.results, self.drawn = [], True
        if not is_main_process():
            return
        names = drawable_names(runner.val_dataloader.dataset.metainfo['classes'])
        metrics = runner.val_evaluator.metrics
        legacy = any(isinstance(metric, VOCAveragePrecision) and metric.use_legacy_coordinate for metric in metrics)
        of_class = defaultdict(list)  # of hundreds of classes most images have nothing
        for result in results:
            for label in np.union1d(result.labels, result.true_labels):
                of_class[int(label)].append(result)
        curves = {name: precision_recall(of_class[label], label, legacy) for label, name in enumerate(names)}
        curves = {name: curve for name, curve in curves.items() if curve is not None}
        if not curves:
            return
        threshold, f1 = best_threshold(list(curves.values()))
        note = f'score >= {threshold:.2f} (highest F1: {f1:.2f})'
        _try(runner, 'precision_recall.png', lambda path: plot_precision_recall(curves, path))
        _try(
            runner,
            'confusion_matrix.png',
            lambda path: plot_confusion(confusion_matrix(results, len(names), threshold), names, path, note),
        )
        if self.test_images:
            _try(runner, 'test_batch.jpg', lambda path: self._draw_test(results, names, threshold, note, path))

    def _draw_test(self, results: list[ImageResult], names: list[str], threshold: float, note: str, path: Path) -> None:
        results = [result for result in results if len(result.true_boxes)] or results
        chosen = np.linspace(0, len(results) - 1, min(self.test_images, len(results))).round().astype(int)
        paint, pictures = BoxPainter(names), []
        for result in (results[number] for number in chosen):
            image, shown = read_image(result.path), result.scores >= threshold
            truth = paint(*in_cell(image, result.true_boxes), result.true_labels)
            found = in_cell(image, result.boxes[shown])
            pictures.append(beside(truth, paint(*found, result.labels[shown], result.scores[shown])))
        write_sheet(pictures, 2, path, f'test images: objects (left) and detections (right), {note}')


def _result(sample: Any) -> ImageResult:
    found, true, ignored = sample.pred_instances, sample.gt_instances, sample.get('ignored_instances')
    arrays = [_array(found[name]) for name in ('bboxes', 'scores', 'labels')]
    arrays += [_array(part[name]) for part in (true, ignored) if part is not None for name in ('bboxes', 'labels')]
    return ImageResult(sample.img_path, *arrays)


def _try(runner: Runner, name: str, draw: Callable[[Path], None]) -> None:
    try:
        draw(Path(runner.work_dir) / name)
    except Exception as error:  # whatever it is, training is worth more
        runner.logger.warning(f'{name} could not be drawn: {type(error).__name__}: {error}')


def _apart(dataset: Any) -> Any:
    """A view of a data set with pipelines of its own: some of them keep images for later ones."""
    dataset = copy.copy(dataset)
    if hasattr(dataset, 'datasets'):
        dataset.datasets = [_apart(part) for part in dataset.datasets]
    elif hasattr(dataset, 'dataset'):
        dataset.dataset = _apart(dataset.dataset)
    if hasattr(dataset, 'pipeline'):
        dataset.pipeline = copy.deepcopy(dataset.pipeline)
    return dataset


def _array(value: Any) -> np.ndarray:
    return getattr(value, 'tensor', value).detach().cpu().numpy()


def _displayed(image: np.ndarray) -> np.ndarray:
    """An image (height, width, channels) as uint8 BGR."""
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else np.ascontiguousarray(image)
