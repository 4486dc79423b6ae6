"""Pictures of what a detector finds, and a list of it."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmnetaug.apis.detector import Detector
from mmnetaug.datasets.findings import Findings
from mmnetaug.datasets.images import IMAGE_SUFFIXES, UnusableImage, image_size, is_deep, read_image
from mmnetaug.errors import InputError, printable
from mmnetaug.progress import Bar
from mmnetaug.records import save_image, written_list
from mmnetaug.visualization.fonts import drawable_names
from mmnetaug.visualization.sheets import BoxPainter

VIDEO_SUFFIXES = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v'}


def infer(
    images: str | Path, checkpoint: str | Path, out_dir: str | Path, score_thr: float = 0.3, device: str = 'cpu'
) -> list[Path]:
    """Draw the objects that a detector finds, with class and score, and write them down.

    Args:
        images: an image, a video, or a folder of images.
        checkpoint: an ``export.pth`` or ``epoch_N.pth`` of ``mmnetaug train``, or an artefact of ``mmnetaug export``;
            it needs nothing else.
        out_dir: the pictures go to ``vis`` in it, and the objects to ``predictions.json``: COCO's results
            (``image_id``, ``category_id`` from 0, ``bbox`` of x, y, width and height in pixels, ``score``) with
            ``file_name`` and ``category``. The frames of a video are images with their numbers from 0. What was found
            stays where an error or Ctrl-C ends it.
        score_thr: least score of a box that is drawn and written, from 0 to 1.
        device: where PyTorch runs, such as 'cuda'.

    Returns:
        The pictures, or the video.

    Raises:
        InputError: no image there, no detector in the checkpoint, or no such device.
    """
    images, out_dir = Path(images), Path(out_dir)
    if not images.exists():
        raise InputError(f'no image or folder at {printable(images)}')
    if not 0 <= score_thr <= 1:
        raise InputError(f'score threshold {score_thr}: expected a number from 0 to 1')
    detector = Detector(checkpoint, device)
    paint = BoxPainter(drawable_names(detector.classes))
    (out_dir / 'vis').mkdir(parents=True, exist_ok=True)

    def drawn(image: np.ndarray, number: int, name: str, write: Callable[[Any], None]) -> np.ndarray:
        found = detector(image, score_thr)
        for box, score, label, category in zip(*(part.tolist() for part in found[:3]), found.names):
            x1, y1, x2, y2 = box
            entry = {'image_id': number, 'file_name': name, 'category_id': label, 'category': category}
            write({**entry, 'bbox': [x1, y1, x2 - x1, y2 - y1], 'score': score})
        return paint(image, found.boxes, found.labels, found.scores)

    folder, predictions = out_dir / 'vis', out_dir / 'predictions.json'
    if images.suffix.lower() in VIDEO_SUFFIXES:
        return [_draw_video(images, folder, predictions, drawn)]
    findings = Findings()
    usable = {path: _other(folder / _name(path), path) for path in _images(images, findings)}
    pictures = []
    with written_list(predictions) as write:
        for path in Bar(usable, desc='images', unit='image', leave=False):
            if _is_usable(path, findings, decode=True):
                save_image(usable[path], drawn(read_image(path), len(pictures), path.name, write))
                pictures.append(usable[path])
        findings.report(str(images))
        if not pictures:
            raise InputError(f'no image in {printable(images)} can be decoded to its end')
    return pictures


def found(pictures: list[Path], out_dir: str | Path, score_thr: float) -> str:
    """What :func:`infer` found, in a line: how many of the images have an object at all."""
    objects, images = 0, set()
    with open(Path(out_dir) / 'predictions.json', encoding='utf-8') as lines:
        for line in lines:
            if line.startswith('{'):
                objects += 1
                images.add(json.loads(line.rstrip(',\n'))['image_id'])
    video = pictures[0].suffix == '.mp4'
    of = 'frames' if video else f'of {len(pictures)} images'
    none = '' if objects else '; a lower --score-thr shows what it holds for less likely'
    return (
        f'{objects} objects of score {score_thr:g} or more in {len(images)} {of}{none}. Pictures: '
        f'{pictures[0] if video else pictures[0].parent}; list: {out_dir}/predictions.json'
    )


def _images(images: Path, findings: Findings) -> list[Path]:
    """The images, by what they begin with; other files with their suffixes are findings."""
    if images.is_dir():
        named = [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        paths = sorted(path for path in named if not path.name.startswith('.'))
    else:
        paths = [images]
    usable = [path for path in paths if _is_usable(path, findings, decode=False)]
    if not usable:
        findings.report(str(images))
        raise InputError(
            f'no image in {printable(images)}: expected {", ".join(sorted(IMAGE_SUFFIXES))} files, or a video '
            f'({", ".join(sorted(VIDEO_SUFFIXES))})'
        )
    return usable


def _is_usable(path: Path, findings: Findings, decode: bool) -> bool:
    try:
        image_size(path, decode)
    except UnusableImage as reason:
        findings.add(f'{reason} left out', path.name)
        return False
    return True


def _name(path: Path) -> str:
    """Name of the picture of an image: its own where OpenCV writes that format."""
    short = len(os.fsencode(path.name)) + len('.jpg.partial') <= 255  # as which it is written
    name = path.name if short else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    if is_deep(path):
        return f'{name}.png'
    return name if cv2.haveImageWriter(name) else f'{name}.jpg'


def _other(picture: Path, path: Path) -> Path:
    """The place of a picture, which must not be that of its image."""
    if picture.exists() and picture.samefile(path):
        raise InputError(f'{printable(path)} would be drawn over: name another folder with --out-dir')
    return picture


def _draw_video(path: Path, folder: Path, predictions: Path, drawn: Callable[..., np.ndarray]) -> Path:
    """Draw each frame of a video into another, MP4."""
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise InputError(f'{printable(path)} cannot be read as a video')
    size = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    out = _other(folder / f'{path.stem}.mp4', path)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*'mp4v'), video.get(cv2.CAP_PROP_FPS) or 25, size)
    if not writer.isOpened():
        raise InputError(f'{printable(out)} cannot be written: check the free space and the permissions of --out-dir')
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    progress = Bar(desc='frames', total=max(total, 0) or None, unit='frame', leave=False)
    with progress, written_list(predictions) as write:
        number = 0
        while (frame := video.read()[1]) is not None:
            writer.write(np.ascontiguousarray(drawn(frame, number, path.name, write)))
            number += 1
            progress.update()
        writer.release()
        if not number:
            raise InputError(f'{printable(path)} has no frame that can be read')
    return out
