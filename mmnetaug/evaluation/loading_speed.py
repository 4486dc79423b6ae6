"""Speed of what comes before a training step: from a command to the first iteration, and from files to batches.

Everything is measured on data that is drawn here. Machines are noisy: things are compared in one run, alternating.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import RandomFlip

from mmnetaug.config_files import PACKAGE, ROOT
from mmnetaug.datasets.images import images_below
from mmnetaug.datasets.transforms import (
    ColorJitter,
    LoadImageOrSkip,
    LoadRandomResizedCrop,
    LoadResizeCenterCrop,
    PackClassification,
    RandomResizedCrop,
    ResizeCenterCrop,
)
from mmnetaug.errors import InputError, check_whole
from mmnetaug.evaluation.speed import machine

# Layout -> images to train on and to test on.
IMAGES = {'voc': (15_000, 5_000), 'coco': (45_000, 5_000), 'folders': (195_000, 5_000)}
SIDES = (500, 375), (640, 480), (1024, 768)  # of drawn photographs
CLASSES = {'voc': 20, 'coco': 80, 'folders': 1000}
# Layout -> what is started; small networks and batches, since only the way to the first iteration counts.
COMMANDS = {
    **dict.fromkeys(('voc', 'coco'), ('tools/train.py', 'configs/det/ssdlite_baseline_voc.py', '--pretrained', 'none')),
    'folders': ('tools/pretrain_cls.py', 'configs/pretrain/baseline_mbv2_tiny.py'),
}
# Runs a tool until its first batch is there, and prints when mmnetaug was imported and when that was.
START = """
import os, runpy, sys, time
import mmnetaug
imported = time.time()
from mmengine.runner import Runner
call = Runner.call_hook
def stop_at_first(self, name, **arguments):
    if name == 'before_train_iter':
        print('STARTED', imported, time.time(), flush=True)
        os._exit(0)
    call(self, name, **arguments)
Runner.call_hook = stop_at_first
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def measure_start(layout: str, against: str | Path | None = None, repeats: int = 3) -> dict[str, Any]:
    """Seconds from the command of a training to its first iteration, with images of a size that decodes quickly.

    Args:
        layout: 'voc', 'coco' (four boxes an image) or 'folders'.
        against: another checkout of this repository, started in turn with this one.
        repeats: starts of each.

    Returns:
        Medians over repeats: ``first_s``, nothing being known of the data, ``second_s``, after it, and ``imports_s``
        (part of both, until ``mmnetaug`` is imported); the same beginning with ``against_`` of the other checkout; and
        ``second_ratio``, the median ratio of its second start to ours beside it.

    Raises:
        InputError: an unknown layout or count, or a start that fails.
    """
    if layout not in IMAGES:
        raise InputError(f'layout {layout}: expected one of {", ".join(IMAGES)}')
    check_whole('repeats', repeats, 1)
    places = {'': (ROOT, PACKAGE.parent)}  # the tools and configs, and the package
    if against:
        places['against_'] = (Path(against).absolute(),) * 2
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_data(root / 'data', layout, *IMAGES[layout])
        time.sleep(3)  # what is known of a file that was written just now is not kept
        for repeat in range(repeats):
            for name, place in places.items():
                work = root / f'{name}{repeat}'
                for start in ('first', 'second'):
                    imports, total = _start(*place, layout, root / 'data', work)
                    seconds.setdefault(f'{name}{start}_s', []).append(total)
                    seconds.setdefault(f'{name}imports_s', []).append(imports)
    result = {name: round(median(values), 2) for name, values in seconds.items()}
    if against:
        ratios = [other / ours for other, ours in zip(seconds['against_second_s'], seconds['second_s'])]
        result['second_ratio'] = round(median(ratios), 2)
    counts = dict(zip(('train_images', 'test_images'), IMAGES[layout]))
    return {'layout': layout, **counts, 'repeats': repeats, **result, **machine('cpu')}


def _start(place: Path, package: Path, layout: str, data: Path, work: Path) -> tuple[float, float]:
    """Seconds until the package is imported, and until the first iteration."""
    tool, config, *options = COMMANDS[layout]
    options += ['--data-root', str(data), '--work-dir', str(work / 'run'), '--workers', '0', '--batch-size', '2']
    environment = {**os.environ, 'PYTHONPATH': str(package), 'XDG_CACHE_HOME': str(work / 'cache')}
    environment['OMP_NUM_THREADS'] = str(torch.get_num_threads())
    start = time.time()
    run = subprocess.run(
        [sys.executable, '-c', START, tool, config, *options],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
    )
    found = [line.split() for line in run.stdout.splitlines() if line.startswith('STARTED')]
    if not found:
        raise InputError(f'{tool} in {place} did not start:\n{(run.stdout + run.stderr)[-2000:]}')
    imported, started = (float(text) - start for text in found[0][1:])
    return imported, started


def measure_jpeg(size: int, sides: tuple[int, int], repeats: int = 9, images: int = 24, photos: str = '') -> dict:
    """Images a second on one core from JPEG files to what a batch is made of, by the pipelines of ImageNet.

    Compared are decoding at a smaller scale where that has the pixels (``reduced``) and decoding in full (``full``), of
    the same images with the same random draws.

    Args:
        size: side in pixels that the network gets.
        sides: width and height in pixels of the photographs, which are drawn.
        repeats: times that all images are loaded by each, in turn.
        images: how many.
        photos: a folder of JPEGs to take instead of drawn ones; ``sides`` is then not used.

    Returns:
        For ``train`` (random crop) and ``val`` (centre crop): images a second of both, and ``ratio``, the median over
        repeats of how many times as many are loaded with reduced decoding. ``kilobytes`` is the mean of the files, and
        ``decoding_left`` the share of full decoding that decoding to an eighth of the sides takes: it still reads every
        Huffman code, so no scale does with less.

    Raises:
        InputError: a count out of range, or no JPEG.
    """
    for name, value in [('size', size), ('repeats', repeats), ('images', images), *zip(('width', 'height'), sides)]:
        check_whole(name, value, 1)
    jitter = [ColorJitter(), RandomFlip(prob=0.5), PackClassification()]
    pipelines = {
        'train': ([LoadRandomResizedCrop(size), *jitter], [LoadImageOrSkip(), RandomResizedCrop(size), *jitter]),
        'val': (
            [LoadResizeCenterCrop(size), PackClassification()],
            [LoadImageOrSkip(), ResizeCenterCrop(size), PackClassification()],
        ),
    }
    decoding = [[partial(_decode, flags)] for flags in (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_COLOR)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = [path for path in images_below(Path(photos)) if path.suffix.lower() in ('.jpg', '.jpeg')][:images]
            paths = paths if photos else _draw_photographs(Path(folder), sides, images)
            if not paths:
                raise InputError(f'no JPEG in {photos}: expected one or more')
            result = {'size': size, 'sides': None if photos else list(sides), 'images': len(paths), 'repeats': repeats}
            result['kilobytes'] = round(sum(path.stat().st_size for path in paths) / len(paths) / 1000, 1)
            seconds = _load_in_turn(paths, decoding, repeats)
            result['decoding_left'] = round(median(eighth / full for eighth, full in seconds), 2)
            for purpose, steps in pipelines.items():
                seconds = _load_in_turn(paths, steps, repeats)
                reduced, full = (len(paths) / median(each) for each in zip(*seconds))
                result[f'{purpose}_reduced_images_per_s'] = round(reduced, 1)
                result[f'{purpose}_full_images_per_s'] = round(full, 1)
                result[f'{purpose}_ratio'] = round(median(full / reduced for reduced, full in seconds), 2)
    finally:
        cv2.setNumThreads(threads)
    return {**result, **machine('cpu')}


def _decode(flags: int, data: dict) -> dict:
    cv2.imread(data['img_path'], flags)
    return data


def _load_in_turn(
    paths: Sequence[Path], pipelines: Sequence[Sequence[Callable[[dict], dict]]], repeats: int
) -> list[list[float]]:
    """:func:`_load` of each pipeline, repeated after a first time that does not count."""
    return [[_load(paths, each, repeat) for each in pipelines] for repeat in range(repeats + 1)][1:]


def _load(paths: Sequence[Path], steps: Sequence[Callable[[dict], dict]], seed: int) -> float:
    """Seconds of the processor that a pipeline takes for all images."""
    random.seed(seed)
    np.random.seed(seed)
    start = time.process_time()
    for path in paths:
        data = {'img_path': str(path), 'gt_label': 0}
        for step in steps:
            data = step(data)
            if data is None:
                raise InputError(f'{path} cannot be decoded: take it out of the folder')
    return time.process_time() - start


# --- drawn data ---


def _draw_photographs(folder: Path, sides: tuple[int, int], count: int) -> list[Path]:
    paths = [folder / f'{number:03}.jpg' for number in range(count)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), drawn_photograph(*sides, seed), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return paths


def drawn_photograph(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8 BGR: noise at all scales, the larger the stronger, as in photographs, and edges."""
    rng = np.random.default_rng(seed)
    image, level = np.full((height, width, 3), 128.0), 4
    while level < 2 * max(width, height):
        part = rng.normal(0, 1, (min(level, height), min(level, width), 3)) + rng.normal(
            0, 2, (min(level, height), 1, 1)
        )
        image += 160 / level**0.8 * cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)
        level *= 2
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(8):
        centre, side = rng.integers(0, (width, height)).tolist(), int(rng.integers(8, max(width, height) // 3))
        cv2.circle(image, centre, side // 2, rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
    return image


def draw_data(root: Path, layout: str, train: int, test: int) -> None:
    """Images of 80x60 pixels in one of three layouts; the same few pictures under many names."""
    pictures = [cv2.imencode('.jpg', drawn_photograph(80, 60, seed))[1].tobytes() for seed in range(16)]
    {'voc': _draw_voc, 'coco': _draw_coco, 'folders': _draw_folders}[layout](root, pictures, train, test)


def _draw_boxes(count: int, classes: int, seed: int) -> list[list[int]]:
    """Class, x1, y1, x2 and y2 in pixels of each."""
    rng = np.random.default_rng(seed)
    corner, side = rng.integers(1, (50, 40), (count, 2)), rng.integers(8, 20, (count, 2))
    return np.hstack([rng.integers(0, classes, (count, 1)), corner, corner + side]).tolist()


def _draw_voc(root: Path, pictures: Sequence[bytes], train: int, test: int) -> None:
    for part in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (root / part).mkdir(parents=True)
    names = [f'{number:06}' for number in range(train + test)]
    for number, name in enumerate(names):
        (root / 'JPEGImages' / f'{name}.jpg').write_bytes(pictures[number % len(pictures)])
        objects = ''.join(
            f'<object>\n<name>class{label}</name>\n<pose>Unspecified</pose>\n<truncated>0</truncated>\n'
            f'<difficult>0</difficult>\n<bndbox>\n<xmin>{x1}</xmin>\n<ymin>{y1}</ymin>\n<xmax>{x2}</xmax>\n'
            f'<ymax>{y2}</ymax>\n</bndbox>\n</object>\n'
            for label, x1, y1, x2, y2 in _draw_boxes(3, CLASSES['voc'], number)
        )
        (root / 'Annotations' / f'{name}.xml').write_text(
            f'<annotation>\n<folder>VOC</folder>\n<filename>{name}.jpg</filename>\n<size>\n<width>80</width>\n'
            f'<height>60</height>\n<depth>3</depth>\n</size>\n<segmented>0</segmented>\n{objects}</annotation>\n'
        )
    for image_set, chosen in (('trainval', names[:train]), ('test', names[train:])):
        (root / 'ImageSets' / 'Main' / f'{image_set}.txt').write_text('\n'.join(chosen) + '\n')


def _draw_coco(root: Path, pictures: Sequence[bytes], train: int, test: int) -> None:
    (root / 'annotations').mkdir(parents=True)
    categories = [{'id': number + 1, 'name': f'class{number}'} for number in range(CLASSES['coco'])]
    for split, count in (('train2017', train), ('val2017', test)):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(count):
            name = f'{number:012}.jpg'
            (root / split / name).write_bytes(pictures[number % len(pictures)])
            images.append({'id': number + 1, 'file_name': name, 'width': 80, 'height': 60, 'license': 1})
            for label, x1, y1, x2, y2 in _draw_boxes(4, CLASSES['coco'], number):
                entry = {'id': len(annotations) + 1, 'image_id': number + 1, 'category_id': label + 1, 'iscrowd': 0}
                corners = [x1, y1, x2, y1, x2, y2, x1, y2]
                area = (x2 - x1) * (y2 - y1)
                annotations.append(
                    {**entry, 'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': area, 'segmentation': [corners]}
                )
        content = {'images': images, 'categories': categories, 'annotations': annotations}
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def _draw_folders(root: Path, pictures: Sequence[bytes], train: int, test: int) -> None:
    for split, count in (('train', train), ('val', test)):
        for number in range(CLASSES['folders']):
            (root / split / f'class{number:04}').mkdir(parents=True)
        for number in range(count):
            folder = root / split / f'class{number % CLASSES["folders"]:04}'
            (folder / f'{number:06}.jpg').write_bytes(pictures[number % len(pictures)])
