"""Make data sets on disk: drawn shapes, scenes composed of photographs, CIFAR-100 from its archive.

Classification images lie in a tree ``{train,val}/CLASS/*``. Detection images are written once and can be read
in both layouts: ``VOCdevkit/VOC2007`` (train + val = trainval, and test) and ``coco`` (``train2017`` is
trainval, ``val2017`` is test; the image files are hard links where the file system has them).

A folder appears under its final name only when it is complete, with ``generator.json`` in it, which holds
the parameters. What an interrupted run left is in ``NAME.partial`` and is replaced by the next run, unless
``generator.json`` in it is locked: then a run is at work there.
"""

import functools
import json
import os
import shutil
import signal
import tarfile
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Pool
from pathlib import Path, PurePosixPath
from typing import IO, Any

import cv2
import numpy as np

from mmnetaug.datasets.images import opencv_image
from mmnetaug.datasets.preparation.scenes import CLUTTER, OBJECT_SCALE, PhotoSource, compose, vary_photometry
from mmnetaug.datasets.preparation.shapes import ShapeSource
from mmnetaug.errors import InputError
from mmnetaug.locks import lock
from mmnetaug.progress import Bar
from mmnetaug.records import save_image

MARKER = 'generator.json'
# share of the image side; larger than in detection: at 5% of 64 pixels nobody could tell the class
CLASSIFICATION_SCALE = (0.4, 0.95)
MAX_OBJECTS = 7


def check_count(name: str, value: int, low: int, high: int) -> None:
    """Raise :class:`InputError` unless ``value`` is within ``low`` and ``high``."""
    if not low <= value <= high:
        raise InputError(f'{name} is {value}; expected a whole number from {low} to {high}')


def build_folder(out: Path, parameters: dict, fill: Callable[[Path], None], force: bool = False) -> bool:
    """Have ``fill`` write a folder that becomes ``out`` when it is complete.

    Returns:
        bool: False if ``out`` was there already, complete and with the same ``parameters``.

    Raises:
        InputError: ``out`` is not ours, is being made by another process, or was made with other parameters and
            ``force`` is not set.
    """
    out = Path(os.path.realpath(out) if os.path.islink(out) else os.path.abspath(out))
    partial = out.parent / f'{out.name}.partial'
    for folder in (out, partial):
        empty = folder.is_dir() and not any(folder.iterdir())
        if folder.exists() and not empty and not (folder / MARKER).is_file():
            raise InputError(f'{folder} was not made by this generator; name another place with --out')
    if (out / MARKER).is_file() and not force:
        made = _read_marker(out / MARKER)
        if made['parameters'] != parameters:
            raise InputError(
                f'{out} was made with other parameters (see {MARKER} in it); '
                'add --force to replace it, or name another place with --out'
            )
        if _count_files(out) >= made['files']:
            print(f'{out} is complete: using it (--force makes it anew)')
            return False
        print(f'{out} lacks some of its {made["files"]} files: making it anew')
    if partial.exists():
        with open(partial / MARKER, 'a', encoding='utf-8') as marker:
            _keep_others_out(marker, out)
        print(f'{partial} is what an interrupted run left: starting again')
        shutil.rmtree(partial)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f'{partial} cannot be made: {error}; name another place with --out') from error
    try:
        with open(partial / MARKER, 'w', encoding='utf-8') as marker:  # whose folder it is, and that we are at work
            _keep_others_out(marker, out)
            fill(partial)
            json.dump({'parameters': parameters, 'files': _count_files(partial)}, marker, indent=2)
            marker.flush()
            if out.exists():
                shutil.rmtree(out)
    except InputError:
        shutil.rmtree(partial)
        raise
    partial.rename(out)
    return True


def _keep_others_out(marker: IO[str], out: Path) -> None:
    if not lock(marker):
        raise InputError(f'another command is making {out}: wait for it, stop it, or name another place with --out')


def _read_marker(path: Path) -> dict:
    try:
        made = json.loads(path.read_text(encoding='utf-8'))
        return {'parameters': made['parameters'], 'files': int(made['files'])}
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(f'{path} is damaged ({error!r}): add --force to make the folder anew') from error


def _count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


_source = None


def _start_worker(source) -> None:
    global _source
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler of Python may never run in a worker that waits
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells all its processes, and the first one ends them
    cv2.setNumThreads(0)  # the processes share the cores; OpenCV's threads would not survive the fork
    _source = source


def _parallel(function: Callable, tasks: Sequence, source, jobs: int | None, title: str) -> list:
    """Results of ``function(task)`` in order, from processes that have ``source`` in ``_source``."""
    with Pool(jobs or min(8, os.cpu_count() or 1), _start_worker, (source,)) as pool:
        calls = pool.imap(function, tasks, chunksize=8)
        return list(Bar(calls, total=len(tasks), desc=title, unit='image', mininterval=0.5))


def _make_classification(task: tuple) -> None:
    folder, size, *key = task
    rng = np.random.default_rng([0, *key])  # key: seed, split, label, index
    image, _ = compose(rng, _source, size, size, [key[2]], CLASSIFICATION_SCALE, clutter=1, min_visible=0.6)
    save_image(folder / f'{key[-1]:05d}.jpg', vary_photometry(rng, image))


def _make_detection(task: tuple, **composition) -> dict:
    out, size, *key = task
    rng = np.random.default_rng([1, *key])  # key: seed, split, index
    sides = [size, round(size * rng.uniform(0.75, 1))]
    height, width = sides if rng.random() < 0.3 else sides[::-1]
    labels = rng.integers(len(_source.classes), size=rng.integers(1, MAX_OBJECTS + 1))
    image, objects = compose(rng, _source, height, width, labels, **composition)
    record = write_image(out, *key[1:], vary_photometry(rng, image), objects, _source.classes)
    return {**record, 'unreadable': sorted(getattr(_source, 'unreadable', ()))}


def write_image(out: Path, split: int, index: int, image: np.ndarray, objects: Sequence, classes: Sequence) -> dict:
    """Write one detection image with its VOC annotation; return its COCO records.

    ``split`` is 0 (trainval) or 1 (test). VOC counts pixels from 1. MMDetection's ``XMLDataset`` subtracts 1
    from all four numbers and takes the result as edges. So box edges (x0, y0, x1, y1) are written plus 1, and
    both layouts give the same box when read. For xmax to stay within the image width, boxes end at
    width - 1 at most (likewise ymax): an object cut off there loses its last column or row.
    """
    # six digits as in VOC; the first one says trainval or test, so that adding images renames none
    name = f'{split + 1}{index:05d}'
    voc = out / 'VOCdevkit' / 'VOC2007'
    height, width = image.shape[:2]
    path = voc / 'JPEGImages' / f'{name}.jpg'
    save_image(path, image)
    linked = out / 'coco' / ('train2017', 'val2017')[split] / path.name
    try:
        os.link(path, linked)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, linked)
    size = {'width': width, 'height': height, 'depth': 3}
    root = _element('annotation', {'folder': 'VOC2007', 'filename': path.name, 'size': size, 'segmented': 0})
    annotations = []
    for thing in objects:
        corners = dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), (edge + 1 for edge in thing.box)))
        flags = {'truncated': int(thing.truncated), 'difficult': int(thing.difficult)}
        entry = {'name': classes[thing.label], 'pose': 'Unspecified', **flags, 'bndbox': corners}
        root.append(_element('object', entry))
        x0, y0, x1, y1 = thing.box
        # iscrowd is COCO's way to say what difficult says in VOC: neither required nor wrong
        annotation = {'image_id': int(name), 'category_id': thing.label + 1, 'iscrowd': int(thing.difficult)}
        annotations.append({**annotation, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'area': thing.area})
    ElementTree.ElementTree(root).write(voc / 'Annotations' / f'{name}.xml')
    record = {'id': int(name), 'file_name': path.name, 'width': width, 'height': height}
    return {'image': record, 'annotations': annotations}


def _element(tag: str, content) -> ElementTree.Element:
    element = ElementTree.Element(tag)
    if isinstance(content, dict):
        element.extend(_element(key, value) for key, value in content.items())
    else:
        element.text = str(content)
    return element


def _make_detection_set(
    out: Path, sources: Sequence, counts: Sequence, size: int, seed: int, jobs: int | None, **composition
) -> None:
    """Write trainval and test images of two sources in both layouts; every fifth of trainval is val."""
    voc, coco = out / 'VOCdevkit' / 'VOC2007', out / 'coco'
    for folder in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (voc / folder).mkdir(parents=True)
    (coco / 'annotations').mkdir(parents=True)
    unreadable = set()
    for split, (source, count, coco_split) in enumerate(zip(sources, counts, ('train2017', 'val2017'))):
        (coco / coco_split).mkdir()
        tasks = [(out, size, seed, split, index) for index in range(count)]
        make = functools.partial(_make_detection, **composition)
        records = _parallel(make, tasks, source, jobs, ('trainval', 'test')[split])
        unreadable.update(path for record in records for path in record['unreadable'])
        names = [str(record['image']['id']) for record in records]
        train = [name for index, name in enumerate(names) if index % 5 < 4]
        sets = {'train': train, 'val': names[4::5], 'trainval': names}
        for set_name, members in (sets if split == 0 else {'test': names}).items():
            (voc / 'ImageSets' / 'Main' / f'{set_name}.txt').write_text(
                ''.join(f'{n}\n' for n in members), encoding='utf-8'
            )
        annotations = [annotation for record in records for annotation in record['annotations']]
        document = {
            'info': {'description': 'generated by mmnetaug'},
            'licenses': [],
            'images': [record['image'] for record in records],
            'annotations': [{'id': i, **annotation} for i, annotation in enumerate(annotations, 1)],
            'categories': [{'id': i, 'name': name} for i, name in enumerate(source.classes, 1)],
        }
        (coco / 'annotations' / f'instances_{coco_split}.json').write_text(json.dumps(document), encoding='utf-8')
    if unreadable:
        some = ', '.join(sorted(unreadable)[:5])
        print(f'warning: skipped {len(unreadable)} files that are no images: {some}')


def _check_detection(
    det_images: Sequence, det_size: int, seed: int, jobs: int | None, scale: tuple, clutter: int
) -> None:
    check_count('the number of trainval images', det_images[0], 5, 99999)
    check_count('the number of test images', det_images[1], 1, 99999)
    check_count('the size of the detection images', det_size, 96, 4096)
    check_count('the seed', seed, 0, 2**32 - 1)
    check_count('the number of jobs', 1 if jobs is None else jobs, 1, 256)
    check_count('the number of things in the clutter', clutter, 0, 1000)
    if not 0 < scale[0] <= scale[1] <= 1:
        raise InputError(f'the scale of objects is {scale[0]} to {scale[1]}; expected two rising fractions up to 1')


def _other_scenes(scale: tuple, clutter: int) -> dict[str, Any]:
    """What a data set's record says of its scenes, where they are not as usual."""
    return {} if (tuple(scale), clutter) == (OBJECT_SCALE, CLUTTER) else {'scale': list(scale), 'clutter': clutter}


def generate_shapes(
    out: Path,
    cls_images: Sequence = (150, 25),
    cls_size: int = 64,
    det_images: Sequence = (300, 100),
    det_size: int = 224,
    scale: tuple = OBJECT_SCALE,
    clutter: int = CLUTTER,
    seed: int = 0,
    jobs: int | None = None,
    force: bool = False,
) -> bool:
    """Draw a classification tree ``out/cls`` and a detection set, 20 classes each.

    Args:
        out: folder to make.
        cls_images: training and validation images per class.
        cls_size: side of the classification images in pixels.
        det_images: trainval and test images.
        det_size: longer side of the detection images in pixels; the shorter one is 75 to 100% of it.
        scale, clutter: as in :func:`~mmnetaug.datasets.preparation.scenes.compose`.
        seed: image i of a split and class depends on it and i alone, not on how many are made.
        jobs: processes; as many as there are cores (at most 8) if None.
        force: replace an existing data set that this function made.

    Returns:
        bool: False if the same data set was there already.

    Raises:
        InputError: nonsense numbers, or ``out`` holds something else.
    """
    check_count('the number of training images per class', cls_images[0], 1, 99999)
    check_count('the number of validation images per class', cls_images[1], 1, 99999)
    check_count('the size of the classification images', cls_size, 32, 4096)
    _check_detection(det_images, det_size, seed, jobs, scale, clutter)
    source = ShapeSource()

    def fill(folder: Path) -> None:
        tasks = []
        for split, (name, count) in enumerate(zip(('train', 'val'), cls_images)):
            for label, class_name in enumerate(source.classes):
                target = folder / 'cls' / name / class_name
                target.mkdir(parents=True)
                tasks += [(target, cls_size, seed, split, label, i) for i in range(count)]
        _parallel(_make_classification, tasks, source, jobs, 'classification')
        _make_detection_set(folder, (source, source), det_images, det_size, seed, jobs, scale=scale, clutter=clutter)

    counts = {'cls_images': list(cls_images), 'det_images': list(det_images)}
    parameters = {'kind': 'shapes', **counts, 'cls_size': cls_size, 'det_size': det_size, 'seed': seed}
    parameters.update(_other_scenes(scale, clutter))
    return build_folder(out, parameters, fill, force)


def generate_scenes(
    out: Path,
    source: Path,
    groups: dict | None = None,
    det_images: Sequence = (2000, 500),
    det_size: int = 224,
    scale: tuple = OBJECT_SCALE,
    clutter: int = CLUTTER,
    seed: int = 0,
    jobs: int | None = None,
    force: bool = False,
) -> bool:
    """Compose a detection set out of the image tree ``source/{train,val}/CLASS/*``.

    Everything in a trainval image, background included, comes from ``train``, everything in a test image from
    ``val``. Files that are no images are skipped, counted and named.

    Args:
        out: folder to make.
        source: the class-per-folder image tree.
        groups: folder name -> name of the class that it counts as.
        scale, clutter: as in :func:`~mmnetaug.datasets.preparation.scenes.compose`.
        det_images, det_size, seed, jobs, force: as in :func:`generate_shapes`.

    Returns:
        bool: False if the same data set was there already.

    Raises:
        InputError: nonsense numbers, a tree without images, or ``out`` holds something else.
    """
    _check_detection(det_images, det_size, seed, jobs, scale, clutter)
    sources = [PhotoSource(Path(source) / split, groups) for split in ('train', 'val')]
    if unpaired := sorted(set(sources[0].classes) ^ set(sources[1].classes)):
        raise InputError(f'{source}: {unpaired[0]} is in only one of train and val; add it to the other')

    def fill(folder: Path) -> None:
        _make_detection_set(folder, sources, det_images, det_size, seed, jobs, scale=scale, clutter=clutter)

    parameters = {'kind': 'scenes', 'source': str(source), 'groups': groups, 'det_images': list(det_images)}
    parameters.update(det_size=det_size, seed=seed, **_other_scenes(scale, clutter))
    return build_folder(out, parameters, fill, force)


def unpack_cifar100(out: Path, archive: Path | None = None, force: bool = False) -> bool:
    """Unpack an archive of ``NAME/{train,val}/CLASS/IMAGE`` files to ``out/{train,val}/CLASS/IMAGE``.

    ``archive`` is ``$MMNETAUG_SHARED/data/cifar100.tar.gz`` unless given (``../shared`` if that is not set).
    Only regular files of that layout are written, whatever else the archive holds.

    Returns:
        bool: False if ``out`` was there already.

    Raises:
        InputError: no such archive, a damaged one or one of another layout, or ``out`` holds something else.
    """
    if archive is None:
        archive = Path(os.environ.get('MMNETAUG_SHARED', '../shared')) / 'data' / 'cifar100.tar.gz'
    archive = Path(archive)
    if not archive.is_file():
        raise InputError(f'no archive {archive}; name one with --archive, or its folder in MMNETAUG_SHARED')

    def fill(folder: Path) -> None:
        try:
            with tarfile.open(archive) as tar:
                for member in Bar(_image_members(tar), desc='unpacking', unit='image', mininterval=0.5):
                    target = folder.joinpath(*PurePosixPath(member.name).parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            reason = str(error).partition('\n')[0].rstrip(' -:')
            raise InputError(f'{archive} cannot be unpacked: {reason}; if damaged, fetch it again') from error
        if not (folder / 'train').is_dir() or not (folder / 'val').is_dir():
            raise InputError(f'{archive} has no cifar100/{{train,val}}/CLASS/*; name another --archive')

    return build_folder(out, {'kind': 'cifar100', 'bytes': archive.stat().st_size}, fill, force)


def _image_members(tar: tarfile.TarFile) -> Iterable:
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.isfile() and len(parts) == 4 and parts[1] in ('train', 'val') and '..' not in parts:
            yield member


def draw_preview(folder: Path, images: int = 24) -> Path:
    """Write ``folder/preview.png``: the first test images with their boxes, difficult ones gray."""
    coco = Path(folder) / 'coco'
    document = json.loads((coco / 'annotations' / 'instances_val2017.json').read_text(encoding='utf-8'))
    names = {category['id']: category['name'] for category in document['categories']}
    side = max(max(image['width'], image['height']) for image in document['images'])
    tiles = np.zeros((max(images, 6), side, side, 3), np.uint8)
    for tile, image in zip(tiles, document['images'][:images]):
        picture = opencv_image(coco / 'val2017' / image['file_name'])
        for annotation in (a for a in document['annotations'] if a['image_id'] == image['id']):
            x, y, w, h = annotation['bbox']
            colour = (160, 160, 160) if annotation['iscrowd'] else (0, 255, 0)
            cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), colour)
            text = names[annotation['category_id']]
            cv2.putText(picture, text, (x, max(y - 2, 8)), cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour)
        tile[: image['height'], : image['width']] = picture
    rows = [np.hstack(tiles[i : i + 6]) for i in range(0, len(tiles), 6)]
    save_image(path := Path(folder) / 'preview.png', np.vstack(rows))
    return path
