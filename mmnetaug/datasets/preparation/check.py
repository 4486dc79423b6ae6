"""What is missing or malformed in a detection data set, before hours are spent on it."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.contrib.concurrent import thread_map

from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.findings import ReportsFindings
from mmnetaug.datasets.images import NO_IMAGE, UnusableImage, image_size
from mmnetaug.datasets.objects import Objects, resized_objects
from mmnetaug.errors import InputError, check_whole
from mmnetaug.progress import Bar, quiet
from mmnetaug.registry import DATASETS


def check_detection_data(
    root: str | Path | None,
    classes: Sequence[str] | None = None,
    size: int = 320,
    files: dict[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> dict:
    """Read all annotations and decode all images of a data set, as training and testing would, and count.

    Args:
        root, classes, files: as in :func:`~mmnetaug.datasets.discovery.find_detection_data`.
        size: side in pixels that images are resized to.
        allow_outside: read images outside the data folder too.

    Returns:
        ``root``, ``layout``, ``classes``, ``size``; ``train`` and ``test``: ``source`` (image sets or annotation
        file), ``images`` and, of them, ``images_without_boxes``, ``boxes`` and, of them, ``ignored`` (difficult or
        crowd), ``objects`` (class -> number of boxes that are not ignored), ``below_1px`` and ``below_8px`` (how many
        of these have a shorter side) and ``median_px`` (of the shorter sides, in pixels after resizing);
        ``objects``: these of ``train`` and ``test``, see :func:`~mmnetaug.datasets.objects.resized_objects`;
        ``shared_images``, files of the test set with the content of one of the training set; and ``findings``,
        place -> :class:`~mmnetaug.datasets.findings.Findings`, empty if all is well.

    Raises:
        InputError: the data set cannot be used; see ``find_detection_data`` and its data sets.
    """
    check_whole('image size', size, 1)
    with quiet():  # the report has all warnings
        found = find_detection_data(root, classes, files=files)
        data = {
            split: DATASETS.build(
                {
                    **found[split],
                    'metainfo': {'classes': found['classes']},
                    'pipeline': [],
                    'test_mode': split == 'test',
                    'allow_outside': allow_outside,
                    'decode': False,  # below, with a progress bar
                    'serialize_data': False,
                }
            )
            for split in ('train', 'test')
        }
    place = str(root or files['train'][0])
    report = {'root': place, 'layout': found['layout'], 'classes': found['classes'], 'size': size, 'objects': {}}
    findings, digests = {}, {}
    places = {split: dataset.ann_file for split, dataset in data.items()}
    if len(set(places.values())) == 1:
        places = {split: f'{place} ({split})' for split, place in places.items()}
    for split, dataset in data.items():
        digests[split] = _digests(dataset, split)
        objects = report['objects'][split] = resized_objects(dataset.data_list, size, size)
        report[split] = {'source': dataset.ann_file, **_statistics(dataset, objects, size)}
        findings[places[split]] = dataset.findings
    trained_on = set(digests['train'].values())
    report['shared_images'] = [Path(path).name for path, digest in digests['test'].items() if digest in trained_on]
    for name in report['shared_images']:
        findings[places['test']].add('images to test on that are trained on too', name)
    report['findings'] = {place: found for place, found in findings.items() if found.names}
    return report


def _digests(dataset: ReportsFindings, split: str) -> dict[str, str]:
    """Path -> digest of each image; one that cannot be decoded becomes a finding and leaves the data set."""
    paths = [info['img_path'] for info in dataset.data_list]
    digests = thread_map(
        _digest,
        paths,
        max_workers=min(8, os.cpu_count() or 1),
        desc=f'{split}: decoding',
        unit='image',
        mininterval=0.5,
        tqdm_class=Bar,
    )
    broken = {path: digest for path, digest in zip(paths, digests) if isinstance(digest, UnusableImage)}
    for path, reason in sorted(broken.items()):
        kind = 'images that cannot be decoded to their end' if str(reason) == NO_IMAGE else f'{reason} left out'
        dataset.findings.add(kind, Path(path).name)
    dataset.data_list = [info for info in dataset.data_list if info['img_path'] not in broken]
    if not dataset.data_list:
        raise InputError(f'{dataset.ann_file}: none of its {len(paths)} images can be decoded')
    return {path: digest for path, digest in zip(paths, digests) if path not in broken}


def _digest(path: str) -> str | UnusableImage:
    try:
        image_size(Path(path), decode=True)
    except UnusableImage as error:
        return error
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _statistics(dataset: ReportsFindings, objects: Objects, size: int) -> dict[str, Any]:
    """What ``check_detection_data`` says of ``train`` and ``test``; tiny boxes become findings."""
    classes, infos = dataset.metainfo['classes'], dataset.data_list
    sides = (objects.corners[:, 2:] - objects.corners[:, :2]).min(1)
    for number in objects.images[sides < 1]:
        name = Path(infos[number]['img_path']).name
        dataset.findings.add(f'boxes smaller than a pixel when images are resized to {size}', name)
    boxes = sum(len(info['instances']) for info in infos)
    return {
        'images': len(infos),
        'images_without_boxes': sum(not info['instances'] for info in infos),
        'boxes': boxes,
        'ignored': boxes - len(sides),
        'objects': dict(zip(classes, np.bincount(objects.labels, minlength=len(classes)).tolist(), strict=True)),
        'below_1px': int((sides < 1).sum()),
        'below_8px': int((sides < 8).sum()),
        'median_px': round(float(np.median(sides)), 1) if len(sides) else None,
    }


def describe_check(report: dict[str, Any], more: str = '') -> str:
    """The report of :func:`check_detection_data` as text, with ``more`` before what is found wrong."""
    train, test, size = report['train'], report['test'], report['size']
    names = {
        'images': 'images',
        'images_without_boxes': '  without boxes (not trained on)',
        'boxes': 'boxes',
        'ignored': '  difficult or crowd (ignored)',
        'below_1px': f'  below 1 pixel at {size}x{size}',
        'below_8px': f'  below 8 pixels at {size}x{size}',
        'median_px': '  median shorter side (pixels)',
    }
    rows = [(names[key], train[key], test[key]) for key in names]
    rows += [(f'objects: {name}', train['objects'][name], test['objects'][name]) for name in report['classes']]
    width = max(len(name) for name, *_ in rows)
    lines = [
        f'{report["root"]}: {report["layout"].upper()} layout, {len(report["classes"])} classes',
        f'train: {train["source"]}',
        f'test:  {test["source"]}',
        '',
        f'{"":{width}} {"train":>9} {"test":>9}',
        *(f'{name:{width}} {a!s:>9} {b!s:>9}' for name, a, b in rows),
        *(['', more] if more else []),
        '',
        f'images in both: {len(report["shared_images"])}',
    ]
    for place, findings in report['findings'].items():
        lines += ['', f'{place}:', *(f'  {line}' for line in findings.lines())]
    return '\n'.join([*lines, '', 'findings: see above' if report['findings'] else 'nothing missing or malformed'])
