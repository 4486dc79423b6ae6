"""The data generator: drawn shapes, and detection scenes composed of an image tree."""

import io
import json
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT
from pycocotools.coco import COCO

from mmnetaug.datasets.preparation.cifar100 import SUPERCLASS
from mmnetaug.datasets.preparation.generate import draw_preview, generate_scenes, generate_shapes, unpack_cifar100
from mmnetaug.datasets.preparation.scenes import compose
from mmnetaug.datasets.preparation.shapes import CLASSES, ShapeSource
from mmnetaug.errors import InputError

SMALL = {'cls_images': (2, 1), 'cls_size': 48, 'det_images': (10, 5), 'det_size': 160, 'jobs': 2}
SAID = {'capture_output': True, 'text': True}
SMALL_SCENES = {'det_images': (10, 5), 'det_size': 128, 'jobs': 1}


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob('*')) if p.is_file()}


def voc_objects(folder, name):
    """[(class, [x0, y0, x1, y1], truncated, difficult)] with 1 subtracted, as MMDetection reads VOC."""
    root = ElementTree.parse(folder / 'VOCdevkit/VOC2007/Annotations' / f'{name}.xml').getroot()
    found = []
    for entry in root.iter('object'):
        box = [int(entry.find(f'bndbox/{tag}').text) - 1 for tag in ('xmin', 'ymin', 'xmax', 'ymax')]
        flags = int(entry.find('truncated').text), int(entry.find('difficult').text)
        found.append((entry.find('name').text, box, *flags))
    return found


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'shapes'
    assert generate_shapes(out, **SMALL)
    return out


@pytest.fixture
def photos(tmp_path):
    """An image tree in which everything of train is red and everything of val is blue."""
    for split, channel in (('train', 2), ('val', 0)):
        for name in ('oak_tree', 'palm_tree', 'rose'):
            folder = tmp_path / 'photos' / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                image = np.zeros((32, 32, 3), np.uint8)
                image[..., channel] = np.random.default_rng(i).integers(120, 255, (32, 32))
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return tmp_path / 'photos'


class OneColourEach:
    """A source whose k-th object is uniformly of gray value k on a black background, without soft edges."""

    classes = ('thing',)

    def __init__(self):
        self.count = 0
        self.sizes = []

    def background(self, rng, height, width):
        return np.zeros((height, width, 3), np.uint8)

    def sprite(self, rng, label, side):
        _, alpha = ShapeSource().sprite(rng, int(rng.integers(20)), side)
        alpha = np.where(alpha >= 128, 255, 0).astype(np.uint8)
        if label is None:
            return np.zeros((*alpha.shape, 3), np.uint8), alpha  # an occluder, black as the background
        self.count += 1
        self.sizes.append((alpha > 0).sum())
        return np.full((*alpha.shape, 3), self.count, np.uint8), alpha


def test_boxes_are_tight_around_the_pixels_that_are_seen():
    truncated = hidden = 0
    for seed in range(60):
        source = OneColourEach()
        image, objects = compose(np.random.default_rng(seed), source, 150, 200, [0] * 6)
        assert len(objects) == source.count == 6
        for value, (thing, size) in enumerate(zip(objects, source.sizes), 1):
            rows, columns = np.nonzero(image[..., 0] == value)
            extent = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert thing.box == (*extent[:2], min(extent[2], 199), min(extent[3], 149))
            assert thing.area == len(rows)
            assert thing.visible == pytest.approx(len(rows) / size)
            assert thing.visible >= 0.3
            assert thing.difficult == (len(rows) < 0.5 * size)
            assert thing.visible < 1 or not thing.truncated
            truncated += thing.truncated
            hidden += thing.difficult
    assert truncated > 40 and hidden > 10  # both rules were at work


def test_scale_runs_from_5_to_60_percent():
    sides = []
    for seed in range(150):
        image, objects = compose(np.random.default_rng(seed), ShapeSource(), 200, 200, [seed % 20], clutter=0)
        assert image.shape == (200, 200, 3)
        for thing in objects:
            x0, y0, x1, y1 = thing.box
            if thing.visible == 1:
                sides.append(max(x1 - x0, y1 - y0))
    assert 0.05 * 200 - 1 <= min(sides) < 0.07 * 200
    assert 0.5 * 200 < max(sides) <= 0.6 * 200 + 1


def test_same_seed_same_files_and_more_images_change_none(shapes, tmp_path):
    more = {**SMALL, 'cls_images': (3, 1), 'det_images': (12, 5), 'jobs': 1}
    generate_shapes(tmp_path / 'more', **more)
    again, other = files_of(tmp_path / 'more'), tmp_path / 'other'
    images = {name: data for name, data in files_of(shapes).items() if name.endswith(('.jpg', '.xml'))}
    assert len(images) == 20 * 3 + 15 * 3
    assert all(again[name] == data for name, data in images.items())
    generate_shapes(other, **SMALL, seed=1)
    other = files_of(other)
    assert all(other[name] != data for name, data in images.items() if name.endswith('.jpg'))


def test_classification_tree(shapes):
    for split, count in (('train', 2), ('val', 1)):
        folders = sorted(path.name for path in (shapes / 'cls' / split).iterdir())
        assert folders == sorted(CLASSES) and len(folders) == 20
        for path in (shapes / 'cls' / split).glob('*/*.jpg'):
            assert cv2.imread(str(path)).shape == (48, 48, 3)
        assert len(list((shapes / 'cls' / split).glob('*/*.jpg'))) == 20 * count


def test_coco_and_voc_agree_box_by_box(shapes):
    voc = shapes / 'VOCdevkit/VOC2007'
    sets = {path.stem: path.read_text().split() for path in (voc / 'ImageSets/Main').iterdir()}
    assert sorted(sets['train'] + sets['val']) == sets['trainval']
    assert (len(sets['train']), len(sets['val']), len(sets['test'])) == (8, 2, 5)
    boxes = 0
    for coco_split, voc_set in (('train2017', 'trainval'), ('val2017', 'test')):
        coco = COCO(str(shapes / 'coco/annotations' / f'instances_{coco_split}.json'))
        assert [str(i) for i in coco.getImgIds()] == sets[voc_set]
        for image in coco.loadImgs(coco.getImgIds()):
            pixels = cv2.imread(str(shapes / 'coco' / coco_split / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3)
            assert max(pixels.shape) == 160 and min(pixels.shape[:2]) >= 120
            same = voc / 'JPEGImages' / image['file_name']
            assert same.read_bytes() == (shapes / 'coco' / coco_split / image['file_name']).read_bytes()
            annotations = coco.loadAnns(coco.getAnnIds(image['id']))
            objects = voc_objects(shapes, image['id'])
            assert len(annotations) == len(objects)
            for annotation, (name, (x0, y0, x1, y1), _, difficult) in zip(annotations, objects):
                assert annotation['bbox'] == [x0, y0, x1 - x0, y1 - y0]
                assert coco.cats[annotation['category_id']]['name'] == name
                assert annotation['iscrowd'] == difficult
                assert 0 <= x0 < x1 < image['width'] and 0 <= y0 < y1 < image['height']
                boxes += 1
    assert boxes > 30


def test_mmdet_reads_the_same_boxes_from_both_layouts(shapes):
    from mmdet.datasets import CocoDataset, XMLDataset

    import mmnetaug  # noqa: F401 (mends mmdet)

    metainfo = {'classes': CLASSES}
    voc = XMLDataset(
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_root=str(shapes / 'VOCdevkit'),
        data_prefix={'sub_data_root': 'VOC2007/'},
        metainfo=metainfo,
        test_mode=True,
    )
    coco = CocoDataset(
        ann_file='annotations/instances_val2017.json',
        data_root=str(shapes / 'coco'),
        data_prefix={'img': 'val2017/'},
        metainfo=metainfo,
        test_mode=True,
    )
    assert len(voc) == len(coco) == 5
    for i in range(5):
        keys = ('bbox', 'bbox_label', 'ignore_flag')
        first, second = (
            [{k: instance[k] for k in keys} for instance in dataset.get_data_info(i)['instances']]
            for dataset in (voc, coco)
        )
        assert first == second


def test_classes_are_not_separable_by_raw_pixels(tmp_path):
    generate_shapes(tmp_path / 'data', cls_images=(20, 5), cls_size=32, det_images=(5, 1), det_size=96)

    def load(split):
        paths = sorted((tmp_path / 'data/cls' / split).glob('*/*.jpg'))
        pixels = np.stack([cv2.imread(str(path)).astype(np.float32).ravel() for path in paths])
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / np.linalg.norm(pixels, axis=1, keepdims=True), [path.parent.name for path in paths]

    (train, train_names), (val, val_names) = load('train'), load('val')
    nearest = (val @ train.T).argmax(axis=1)
    accuracy = np.mean([train_names[i] == name for i, name in zip(nearest, val_names)])
    assert accuracy < 0.25


def test_complete_data_are_reused_and_other_parameters_refused(shapes, capsys):
    before = files_of(shapes)
    assert not generate_shapes(shapes, **SMALL)
    assert 'using it' in capsys.readouterr().out
    with pytest.raises(InputError, match=r'other parameters.*--force'):
        generate_shapes(shapes, **SMALL, seed=5)
    assert files_of(shapes) == before


def test_interrupted_or_damaged_data_are_made_again(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'shapes'
    with monkeypatch.context() as patch:
        # dies half-way
        patch.setattr('mmnetaug.datasets.preparation.generate._make_detection_set', lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generate_shapes(out, **SMALL)
    assert not out.exists() and (tmp_path / 'shapes.partial/cls').is_dir()
    assert generate_shapes(out, **SMALL)
    assert 'interrupted' in capsys.readouterr().out
    assert not (tmp_path / 'shapes.partial').exists()
    complete = files_of(out)
    (out / 'VOCdevkit/VOC2007/JPEGImages/100003.jpg').unlink()
    assert generate_shapes(out, **SMALL)
    assert files_of(out) == complete


def test_one_command_at_a_time(tmp_path, monkeypatch):
    out, refused = tmp_path / 'shapes', []
    call = f'from mmnetaug.datasets.preparation.generate import *; generate_shapes({str(out)!r}, **{SMALL})'

    def second(folder, *_, **__):
        done = subprocess.run([sys.executable, '-c', call], env={**os.environ, 'PYTHONPATH': str(ROOT)}, **SAID)
        refused.append(done.stderr)
        assert (folder / 'cls').is_dir()

    monkeypatch.setattr('mmnetaug.datasets.preparation.generate._make_detection_set', second)
    assert generate_shapes(out, **SMALL) and 'another command is making' in refused[0]
    assert (out / 'generator.json').is_file() and not (tmp_path / 'shapes.partial').exists()


def test_a_link_is_followed_and_a_damaged_marker_said(tmp_path):
    link = tmp_path / 'link'
    link.symlink_to(tmp_path / 'there')
    (tmp_path / 'there').mkdir()
    for _ in range(2):
        generate_shapes(link, **SMALL, force=True)
    assert link.is_symlink() and (tmp_path / 'there/generator.json').is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['link', 'there']
    for content in ('', '[]', '{}'):
        (tmp_path / 'there/generator.json').write_text(content)
        with pytest.raises(InputError, match=r'generator\.json is damaged .*add --force'):
            generate_shapes(link, **SMALL)


@pytest.mark.parametrize('force', [False, True])
def test_foreign_folders_are_left_alone(tmp_path, force):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('five years')
    with pytest.raises(InputError, match='--out'):
        generate_shapes(tmp_path / 'mine', **SMALL, force=force)
    with pytest.raises(InputError, match='--out'):
        generate_shapes(tmp_path / 'mine/thesis.txt', **SMALL, force=force)
    assert (tmp_path / 'mine/thesis.txt').read_text() == 'five years'


@pytest.mark.parametrize(
    'wrong',
    [
        {'cls_images': (0, 1)},
        {'cls_size': 8},
        {'det_images': (10, 0)},
        {'det_images': (100000, 1)},
        {'det_size': 20},
        {'seed': -1},
        {'jobs': 0},
    ],
)
def test_nonsense_numbers_are_refused(tmp_path, wrong):
    value = next(iter(wrong.values()))
    value = min(value) if value in ((0, 1), (10, 0)) else max(value) if isinstance(value, tuple) else value
    with pytest.raises(InputError, match=f'is {value}; expected a whole number'):
        generate_shapes(tmp_path / 'out', **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())


def test_scenes_show_train_images_in_trainval_and_val_images_in_test(photos, tmp_path):
    out = tmp_path / 'scenes'
    assert generate_scenes(out, photos, **SMALL_SCENES)
    for voc_set, channel in (('trainval', 2), ('test', 0)):
        for name in (out / f'VOCdevkit/VOC2007/ImageSets/Main/{voc_set}.txt').read_text().split():
            image = cv2.imread(str(out / f'VOCdevkit/VOC2007/JPEGImages/{name}.jpg')).astype(float)
            for _, (x0, y0, x1, y1), *_ in [(0, (0, 0, *image.shape[1::-1])), *voc_objects(out, name)]:
                blue, _, red = image[y0:y1, x0:x1].mean(axis=(0, 1))
                assert (red > blue) == (channel == 2)


def test_scale_and_clutter_of_scenes(photos, tmp_path):
    options = {**SMALL_SCENES, 'det_images': (5, 20), 'det_size': 160}
    generate_scenes(tmp_path / 'large', photos, scale=(0.5, 0.6), clutter=0, **options)
    document = json.loads((tmp_path / 'large/coco/annotations/instances_val2017.json').read_text())
    whole = [max(a['bbox'][2:]) for a in document['annotations'] if not a['iscrowd']]
    assert max(whole) <= 0.6 * 160 + 2 and np.median(whole) > 0.4 * 160
    for wrong in ({'scale': (0.6, 0.5)}, {'scale': (0, 0.5)}, {'scale': (0.5, 2)}, {'clutter': -1}):
        with pytest.raises(InputError, match='expected'):
            generate_scenes(tmp_path / 'wrong', photos, **options, **wrong)


def test_scenes_merge_classes_into_groups(photos, tmp_path):
    generate_scenes(tmp_path / 'scenes', photos, SUPERCLASS, **SMALL_SCENES)
    coco = COCO(str(tmp_path / 'scenes/coco/annotations/instances_train2017.json'))
    assert [category['name'] for category in coco.cats.values()] == ['flowers', 'trees']
    with pytest.raises(InputError, match=r'class rose .* is in no group'):
        generate_scenes(tmp_path / 'other', photos, {'oak_tree': 'tree', 'palm_tree': 'tree'}, **SMALL_SCENES)


def test_cifar100_superclasses_are_20_of_5():
    groups = list(SUPERCLASS.values())
    assert len(groups) == 100 and {groups.count(name) for name in groups} == {5} and len(set(groups)) == 20


def test_files_that_are_no_images_are_skipped_and_named(photos, tmp_path, capsys):
    (photos / 'train/rose/broken.png').write_bytes(b'not a picture')
    assert generate_scenes(tmp_path / 'scenes', photos, **{**SMALL_SCENES, 'det_images': (40, 5)})
    printed = capsys.readouterr().out
    assert 'skipped 1 files' in printed and 'broken.png' in printed


def test_trees_without_images_are_refused(photos, tmp_path):
    def fails_with(pattern):
        with pytest.raises(InputError, match=pattern):
            generate_scenes(tmp_path / 'scenes', photos, **SMALL_SCENES)

    for path in (photos / 'train/rose').iterdir():
        path.write_bytes(b'not a picture')
    fails_with('class rose.*cannot be read')
    for path in (photos / 'train/rose').iterdir():
        path.unlink()
    fails_with('rose has no images')
    (photos / 'train/rose').rmdir()
    fails_with('rose is in only one of train and val')
    (photos / 'val').rename(tmp_path / 'val')
    fails_with('no folder .*val')
    (photos / 'val').mkdir()
    fails_with('no class folders')


def make_archive(path, names):
    with tarfile.open(path, 'w:gz') as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1000
            tar.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(1000)))


def test_unpacking_writes_only_the_expected_layout_and_can_be_repeated(tmp_path, monkeypatch):
    good = ['cifar100/train/apple/000.webp', 'cifar100/val/apple/000.webp']
    (tmp_path / 'shared/data').mkdir(parents=True)
    evil = ['cifar100/train/../../../evil', '/cifar100/train/evil', 'cifar100/train/../evil', 'evil']
    make_archive(tmp_path / 'shared/data/cifar100.tar.gz', good + evil)
    monkeypatch.setenv('MMNETAUG_SHARED', str(tmp_path / 'shared'))
    out = tmp_path / 'data/cifar100'
    assert unpack_cifar100(out)
    assert set(files_of(out)) == {'train/apple/000.webp', 'val/apple/000.webp', 'generator.json'}
    assert not list(tmp_path.rglob('evil'))
    assert not unpack_cifar100(out)


def test_bad_archives_are_refused(tmp_path):
    with pytest.raises(InputError, match=r'no archive .*missing.tar.gz.*--archive'):
        unpack_cifar100(tmp_path / 'out', tmp_path / 'missing.tar.gz')
    make_archive(tmp_path / 'other.tar.gz', ['folder/file'])
    with pytest.raises(InputError, match='name another --archive'):
        unpack_cifar100(tmp_path / 'out', tmp_path / 'other.tar.gz')
    make_archive(tmp_path / 'cut.tar.gz', [f'cifar100/train/apple/{i}.webp' for i in range(50)])
    data = (tmp_path / 'cut.tar.gz').read_bytes()
    (tmp_path / 'cut.tar.gz').write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match='cannot be unpacked'):
        unpack_cifar100(tmp_path / 'out', tmp_path / 'cut.tar.gz')
    assert not (tmp_path / 'out').exists() and not (tmp_path / 'out.partial').exists()


def test_preview_and_tool(shapes, tmp_path):
    assert cv2.imread(str(draw_preview(shapes))).shape[1] == 6 * 160
    tool = [sys.executable, 'tools/make_data.py', 'scenes', '--source', str(tmp_path / 'nowhere')]
    run = subprocess.run(tool, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2 and 'nowhere' in run.stderr and 'Traceback' not in run.stderr
    assert json.loads((shapes / 'generator.json').read_text())['parameters']['kind'] == 'shapes'
