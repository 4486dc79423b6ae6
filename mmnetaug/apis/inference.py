"""Pictures of what a detector finds."""

import warnings
from pathlib import Path

from mmengine.config import Config

from mmnetaug.checkpoint import read_detector
from mmnetaug.datasets.findings import Findings, image_size
from mmnetaug.datasets.image_folder import IMAGE_SUFFIXES
from mmnetaug.errors import InputError


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
    paths = [images] if images.is_file() else sorted(p for p in images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    findings, usable = Findings(), []
    for path in paths:
        if image_size(path, decode=True) is None:
            findings.add('files that are no images left out', path.name)
        else:
            usable.append(str(path))
    findings.report(str(images))
    if not usable:
        raise InputError(f'no image in {images}: expected {", ".join(sorted(IMAGE_SUFFIXES))} files')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of log files that it does without and boxes at the border
        inferencer = DetInferencer(config, weights=str(checkpoint), palette='coco', show_progress=False)
        inferencer(usable, out_dir=str(out_dir), pred_score_thr=score_thr)
    return [Path(out_dir) / 'vis' / Path(path).name for path in usable]
