"""Pictures of what a detector finds."""

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
from mmengine.config import Config
from mmengine.logging import print_log

from mmnetaug.checkpoint import read_detector
from mmnetaug.datasets.findings import Findings
from mmnetaug.datasets.images import IMAGE_SUFFIXES, UnusableImage, image_size, is_deep, read_deep
from mmnetaug.errors import InputError, printable
from mmnetaug.visualization.fonts import choose_font


def infer(images: str | Path, checkpoint: str | Path, out_dir: str | Path, score_thr: float = 0.3) -> list[Path]:
    """Draw the objects that a detector finds, with class and score.

    Args:
        images: an image or a folder of images.
        checkpoint: an ``export.pth`` or ``epoch_N.pth`` of ``tools/train.py``; it needs nothing else.
        out_dir: the pictures go to ``vis`` in it.
        score_thr: least score of a box that is drawn, from 0 to 1.

    Returns:
        The pictures.

    Raises:
        InputError: no image there, or no detector in the checkpoint.
    """
    from mmdet.apis import DetInferencer

    meta, _ = read_detector(checkpoint)
    config = Config({**meta['config'], 'visualizer': {'type': 'DetLocalVisualizer'}})
    images = Path(images)
    if not images.exists():
        raise InputError(f'no image or folder at {images}')
    if not 0 <= score_thr <= 1:
        raise InputError(f'score threshold {score_thr}: expected a number from 0 to 1')
    if images.is_dir():
        named = [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        paths = sorted(path for path in named if not path.name.startswith('.'))
    else:
        paths = [images]
    findings, usable = Findings(), []
    for path in paths:
        try:
            image_size(path, decode=True)
        except UnusableImage as reason:
            findings.add(f'{reason} left out', path.name)
        else:
            usable.append(path)
    findings.report(str(images))
    if not usable:
        raise InputError(f'no image in {printable(images)}: expected {", ".join(sorted(IMAGE_SUFFIXES))} files')
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter('ignore', UserWarning)  # of log files that it does without and boxes at the border
        inferencer = DetInferencer(config, weights=str(checkpoint), palette='coco', show_progress=False)
        classes = inferencer.model.dataset_meta.get('classes')
        if classes:
            inferencer.visualizer.dataset_meta = {**inferencer.model.dataset_meta, 'classes': _drawn_names(classes)}
        inputs = [_drawable(path, Path(folder)) for path in usable]
        inferencer(list(map(str, inputs)), out_dir=str(out_dir), pred_score_thr=score_thr)
    return [Path(out_dir) / 'vis' / path.name for path in inputs]


def _drawable(path: Path, folder: Path) -> Path:
    """The image itself, or something in ``folder`` instead of one that MMDetection draws with its upper 8 bits alone,
    or whose suffix OpenCV does not write."""
    name = path.name if len(os.fsencode(path.name)) < 250 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    if is_deep(path):
        copy = folder / f'{name}.png'
        cv2.imwrite(str(copy), read_deep(path))
        return copy
    if not cv2.haveImageWriter(path.name):
        link = folder / f'{name}.jpg'
        link.symlink_to(path.absolute())
        return link
    return path


def _drawn_names(classes: Sequence[str]) -> list[str]:
    """Names of classes, or their numbers where no installed font has their characters."""
    missing = choose_font(classes)
    names = [f'class {label}' if name in missing else name for label, name in enumerate(classes)]
    if missing:
        numbers = ', '.join(f'{number} = {name}' for number, name in zip(names, classes) if number != name)
        print_log(
            f'no installed font has the characters of all class names: {numbers} in the pictures. A font that has them '
            '(such as Noto Sans CJK), once installed, is used',
            'current',
            logging.WARNING,
        )
    return names
