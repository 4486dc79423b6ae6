"""What evaluating and training a detector take beside the libraries' own way, on drawn data."""

import copy
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from mmdet.datasets.transforms import MinIoURandomCrop as TheirCrop
from mmdet.datasets.transforms import PackDetInputs
from mmdet.evaluation import VOCMetric
from mmdet.models.detectors import SingleStageDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch.utils.data import DataLoader, Dataset

from mmnetaug.compat.loader_workers import end_where_sending_fails
from mmnetaug.datasets.batches import collate_detection
from mmnetaug.datasets.transforms import ColorJitter, MinIoURandomCrop
from mmnetaug.evaluation.metrics.voc import IOU_THRESHOLDS, VOCAveragePrecision
from mmnetaug.evaluation.speed import alternate, machine
from mmnetaug.models.fusion import fused

CLASSES = ('RBC', 'WBC', 'Platelets')


def compared(spent: dict[str, list[float]], reference: str) -> dict[str, Any]:
    """Medians as ``NAME_ms``, and as ``NAME_ratio`` the median of the reference's time over that beside it."""
    found: dict[str, Any] = {f'{name}_ms': round(median(values), 3) for name, values in spent.items()}
    for name in spent.keys() - {reference}:
        found[f'{name}_ratio'] = round(median(a / b for a, b in zip(spent[reference], spent[name])), 3)
    return found


def drawn_sample(seed: int, side: int = 480, objects: int = 12) -> dict[str, Any]:
    """A noisy image with boxes, as transforms take it."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.8 * side, (objects, 2))
    boxes = np.hstack([corners, corners + rng.uniform(10, 0.2 * side, (objects, 2))]).astype(np.float32)
    return {
        'img': rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        'img_shape': (side, side),
        'ori_shape': (side, side),
        'img_id': seed,
        'img_path': f'{seed}.png',
        'scale_factor': (1.0, 1.0),
        'gt_bboxes': HorizontalBoxes(boxes),
        'gt_bboxes_labels': rng.integers(0, len(CLASSES), objects),
        'gt_ignore_flags': np.zeros(objects, bool),
    }


class _Packed(Dataset):
    """The same packed sample again and again, a copy each time."""

    def __init__(self, side: int, length: int) -> None:
        self.sample, self.length = PackDetInputs()(drawn_sample(0, side)), length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'inputs': self.sample['inputs'].clone(), 'data_samples': copy.deepcopy(self.sample['data_samples'])}


def measure_batches(size: int, batch: int = 16, repeats: int = 30) -> dict[str, Any]:
    """Crops by mmdet's transform and by ours, and batches by MMEngine's way and by ours.

    Args:
        size: side of the images of a batch in pixels.
        batch: images of it.
        repeats: of each, alternating.

    Returns:
        Milliseconds (medians and, for crops, means) of a crop of a 480x480 image and of :class:`ColorJitter`, and of
        taking over a batch that a worker has ready; ratios as in :func:`compared`.
    """
    crops = {'mmdet_crop': TheirCrop((0.3,), 0.3), 'crop': MinIoURandomCrop((0.3,), 0.3)}
    spent: dict[str, list[float]] = {name: [] for name in crops}
    for seed in range(5 * repeats):
        for name, crop in crops.items():
            sample = drawn_sample(seed)
            np.random.seed(seed)
            start = time.perf_counter()
            crop(sample)
            spent[name].append(1000 * (time.perf_counter() - start))
    image = {'img': drawn_sample(0, size)['img']}
    colour = alternate({'colour': lambda: ColorJitter()(dict(image))}, repeats)
    batches = {}
    for name, collate in [('mmengine_batch', pseudo_collate), ('batch', collate_detection)]:
        loader = DataLoader(
            _Packed(size, batch * (repeats + 2)),
            batch,
            num_workers=1,
            collate_fn=collate,
            worker_init_fn=end_where_sending_fails,
        )
        batches[name] = _take_over(loader)[2:]
    return {
        **compared(spent, 'mmdet_crop'),
        **{f'{name}_mean_ms': round(float(np.mean(values)), 3) for name, values in spent.items()},
        **compared(colour, 'colour'),
        **compared(batches, 'mmengine_batch'),
        'size': size,
        'batch': batch,
        **machine('cpu'),
    }


def _take_over(loader: DataLoader) -> list[float]:
    """Milliseconds for each batch that this process spends on taking it over, ready as it is."""
    spent, batches = [], iter(loader)
    for _ in range(len(loader)):
        time.sleep(0.05)  # until the worker has it ready
        start = time.perf_counter()
        next(batches)
        spent.append(1000 * (time.perf_counter() - start))
    return spent


def measure_evaluation(detector: SingleStageDetector, size: int, repeats: int = 20, images: int = 50) -> dict[str, Any]:
    """Predictions with and without fused normalisation, and VOC's measures by mmdet's matching and by ours.

    Args:
        detector: for images of ``size`` x ``size`` pixels and of any classes.
        size: see there.
        repeats: batches of eight images, alternating.
        images: that are measured, with 12 objects and 40 detections each.

    Returns:
        Milliseconds a batch with and without normalisation and ``output_difference``, the largest relative difference
        of the head's outputs; milliseconds to match ``images`` for AP over ten overlaps, and ``measure_difference``.
    """
    plain, quick = copy.deepcopy(detector).eval(), fused(detector)
    rng = np.random.default_rng(0)
    batch = torch.from_numpy(rng.normal(size=(8, 3, size, size)).astype(np.float32))
    with torch.no_grad():
        outputs = [[level for part in network(batch) for level in part] for network in (plain, quick)]
        difference = max(float((a - b).norm() / a.norm()) for a, b in zip(*outputs))
        networks = alternate({'normalised': lambda: plain(batch), 'fused': lambda: quick(batch)}, repeats)
    samples = [_predicted(seed) for seed in range(images)]
    found: dict[str, dict[str, float]] = {}

    def measured(name: str, metric: Any) -> None:
        metric.dataset_meta = {'classes': CLASSES}
        metric.process({}, samples)
        found[name] = metric.evaluate(images)

    overlaps = [float(value) for value in IOU_THRESHOLDS]
    metrics = alternate(
        {
            'mmdet_match': lambda: measured('mmdet', VOCMetric(iou_thrs=overlaps, eval_mode='area')),
            'match': lambda: measured('ours', VOCAveragePrecision()),
        },
        repeats=3,
        warm_up=1,
    )
    return {
        **compared(networks, 'normalised'),
        'output_difference': difference,
        **compared(metrics, 'mmdet_match'),
        # mmdet rounds to three digits
        'measure_difference': abs(found['mmdet']['pascal_voc/mAP'] - found['ours']['AP']),
        'size': size,
        **machine('cpu'),
    }


def _predicted(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sample = drawn_sample(seed)
    truth = sample['gt_bboxes'].tensor
    labels = torch.from_numpy(sample['gt_bboxes_labels'])
    chosen = torch.from_numpy(rng.integers(0, len(truth), 40))
    moved = truth[chosen] + torch.from_numpy(rng.normal(0, 8, (40, 4)).astype(np.float32))
    nothing = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    scores = torch.from_numpy(rng.random(40).astype(np.float32))
    return DetDataSample(
        gt_instances=InstanceData(bboxes=truth, labels=labels),
        ignored_instances=nothing,
        pred_instances=InstanceData(bboxes=moved, labels=labels[chosen], scores=scores),
    ).to_dict()


def measure_freezing(detectors: dict[str, SingleStageDetector], size: int, batch: int, repeats: int) -> dict[str, Any]:
    """Training steps of detectors that differ in what is trained of them.

    Args:
        detectors: name -> detector; the first is what the others are compared with.
        size: side of the images in pixels.
        batch: images a step, with 12 objects each.
        repeats: steps of each, alternating.

    Returns:
        Milliseconds a step, and ratios as in :func:`compared`.
    """
    samples = []
    for seed in range(batch):
        sample = PackDetInputs()(drawn_sample(seed, size))['data_samples']
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.tensor
        sample.ignored_instances.bboxes = sample.ignored_instances.bboxes.tensor
        sample.set_metainfo({'batch_input_shape': (size, size), 'pad_shape': (size, size)})
        samples.append(sample)
    images = torch.randn(batch, 3, size, size)

    def step_of(detector: SingleStageDetector) -> Callable[[], None]:
        detector.train()
        trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, fused=True)

        def step() -> None:
            optimizer.zero_grad()
            losses = detector.loss(images, copy.deepcopy(samples))
            sum(each for level in losses.values() for each in level).backward()
            optimizer.step()

        return step

    spent = alternate({name: step_of(detector) for name, detector in detectors.items()}, repeats)
    return {**compared(spent, next(iter(spent))), 'size': size, 'batch': batch, **machine('cpu')}
