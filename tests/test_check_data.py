"""The check of a data set before hours are spent on it: what it counts, finds, and refuses."""

import errno
import json
import os
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import CAT, DOG, ROOT, break_drive, write_coco, write_voc

from mmnetaug import InputError
from mmnetaug.datasets.preparation.check import check_detection_data, describe_check


def noise(path, seed, width=64, height=48):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def paint(folder):
    """Give every image content of its own."""
    for number, path in enumerate(sorted(folder.rglob('*.jpg'))):
        noise(path, number)


@pytest.fixture
def voc(tmp_path):
    hard = ('cat', 1, 1, 21, 21, 1)
    images = {'a': [CAT, hard], 'b': [DOG, CAT], 'c': [], 'd': [DOG], 'e': [CAT]}
    write_voc(tmp_path / 'voc', images, {'trainval': ['a', 'b', 'c'], 'test': ['d', 'e']})
    paint(tmp_path / 'voc')
    return tmp_path / 'voc'


@pytest.fixture
def coco(tmp_path):
    folder = tmp_path / 'coco'
    write_coco(folder, 'train2017', {'a.jpg': [(1, 1, 2, 10, 20), (2, 30, 20, 20, 20)], 'b.jpg': [(2, 5, 5, 30, 30)]})
    write_coco(folder, 'val2017', {'c.jpg': [(1, 1, 2, 10, 20), (2, 30, 20, 20, 20)], 'd.jpg': [(1, 5, 5, 30, 30)]})
    paint(folder)
    return folder


def findings(report):
    """(split, reason) -> names."""
    splits = {report[split]['source']: split for split in ('train', 'test')}
    return {
        (splits[place], reason): names
        for place, found in report['findings'].items()
        for reason, names in found.names.items()
    }


def test_counts_of_voc(voc):
    report = check_detection_data(voc)
    assert (report['layout'], report['classes'], report['findings']) == ('voc', ['cat', 'dog'], {})
    assert report['train'] == {
        'source': f'{voc} (trainval)',
        'images': 3,
        'images_without_boxes': 1,
        'boxes': 4,
        'ignored': 1,
        'objects': {'cat': 2, 'dog': 1},
        'below_1px': 0,
        'below_8px': 0,
        'median_px': 100.0,  # cats are 20 pixels of 64 wide, the dog 19
    }
    assert (report['test']['images'], report['test']['objects']) == (2, {'cat': 1, 'dog': 1})
    text = describe_check(report)
    assert 'images in both: 0' in text and text.endswith('nothing missing or malformed')
    assert f'train: {voc} (trainval)\n' in text and f'test:  {voc} (test)\n' in text


def test_counts_of_coco(coco):
    report = check_detection_data(coco, size=32)
    assert (report['layout'], report['classes'], report['findings']) == ('coco', ['cat', 'dog'], {})
    assert report['train']['objects'] == {'cat': 1, 'dog': 2} and report['test']['objects'] == {'cat': 2, 'dog': 1}
    # at 32x32 a box 10 pixels of 64 wide has 5
    assert (report['train']['below_8px'], report['train']['below_1px']) == (1, 0)
    report = check_detection_data(coco, classes=['dog'], size=32)
    assert report['classes'] == ['dog'] and report['train']['objects'] == {'dog': 2}
    assert (report['test']['images'], report['test']['images_without_boxes']) == (2, 1)


def test_specks(voc):
    noise(voc / 'JPEGImages/b.jpg', 7, 640, 480)  # so that the boxes are a tenth as wide
    write = voc / 'Annotations/b.xml'
    rewrite(write, '<xmax>31</xmax>', '<xmax>12</xmax>')
    rewrite(write, '<width>64</width><height>48</height>', '<width>640</width><height>480</height>')
    report = check_detection_data(voc)
    assert findings(report) == {('train', 'boxes smaller than a pixel when images are resized to 320'): ['b.jpg']}
    assert report['train']['below_1px'] == 1 and not check_detection_data(voc, size=640)['findings']


def truncate(path):
    path.write_bytes(path.read_bytes()[:900])


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ('spoil', 'split', 'reason', 'name'),
    [
        (lambda f: (f / 'JPEGImages/a.jpg').unlink(), 'train', 'annotations without image left out', 'a.xml'),
        (lambda f: (f / 'JPEGImages/a.jpg').write_text('?'), 'train', 'files that are no images left out', 'a.jpg'),
        (lambda f: truncate(f / 'JPEGImages/a.jpg'), 'train', 'images that cannot be decoded to their end', 'a.jpg'),
        (lambda f: truncate(f / 'JPEGImages/e.jpg'), 'test', 'images that cannot be decoded to their end', 'e.jpg'),
        (lambda f: (f / 'Annotations/a.xml').unlink(), 'train', 'images without annotation left out', 'a.jpg'),
        (lambda f: (f / 'Annotations/a.xml').write_text('<ann'), 'train', 'broken annotations left out', 'a.xml'),
        (
            lambda f: (f / 'Annotations/a.xml').write_text('<?xml version="1.0" encoding="none"?><annotation/>'),
            'train',
            'broken annotations left out',
            'a.xml',
        ),
        (
            lambda f: rewrite(f / 'Annotations/b.xml', '<xmin>11', '<xmin>nan'),
            'train',
            'objects without a box (bndbox with xmin, ymin, xmax, ymax) left out',
            'b.xml',
        ),
        (
            lambda f: rewrite(f / 'Annotations/b.xml', '<xmin>11', '<xmin>31'),
            'train',
            'boxes without area left out',
            'b.xml',
        ),
        (
            lambda f: rewrite(f / 'Annotations/b.xml', '<xmax>31', '<xmax>81'),
            'train',
            'boxes cut at the border of their image',
            'b.xml',
        ),
        (
            lambda f: rewrite(f / 'Annotations/e.xml', 'cat', 'dog'),
            'test',
            'classes without an object (not in the AP)',
            'cat',
        ),
        (
            lambda f: (f / 'JPEGImages/e.jpg').write_bytes((f / 'JPEGImages/b.jpg').read_bytes()),
            'test',
            'images to test on that are trained on too',
            'e.jpg',
        ),
    ],
)
def test_findings_in_voc(voc, spoil, split, reason, name):
    spoil(voc)
    report = check_detection_data(voc)
    assert findings(report)[split, reason] == [name]
    others = {key for key in findings(report) if not key[1].startswith('classes without an object')}
    assert others <= {(split, reason)}, 'and nothing that is not so'
    assert f'  1 {reason}: {name}' in describe_check(report)


def edit(folder, split, change):
    path = folder / f'annotations/instances_{split}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_findings_in_coco(coco):
    def spoil(content):
        content['annotations'][0]['image_id'] = 77
        content['annotations'][1]['category_id'] = 99
        content['annotations'][2]['bbox'] = [50, 5, 30, 30]
        content['images'].append({'id': 3, 'file_name': 'nowhere.jpg', 'width': 64, 'height': 48})
        content['images'].append({'id': 1, 'file_name': 'b.jpg', 'width': 64, 'height': 48})
        content['images'].append({'id': 4, 'file_name': 7})

    edit(coco, 'train2017', spoil)
    truncate(coco / 'val2017/c.jpg')
    report = check_detection_data(coco)
    assert report['test']['objects'] == {'cat': 1, 'dog': 0}
    assert findings(report) == {
        ('train', 'annotations of no image left out'): ['annotation 1'],
        ('train', 'images with the id of another left out'): ['b.jpg'],
        ('train', 'entries of images without id or file_name left out'): ['image 5'],
        ('train', 'annotations of an unknown category left out'): ['a.jpg'],
        ('train', 'boxes cut at the border of their image'): ['b.jpg'],
        ('train', 'annotations without image left out'): ['nowhere.jpg'],
        ('train', 'classes without an object'): ['cat'],
        ('test', 'images that cannot be decoded to their end'): ['c.jpg'],
    }


def test_listed_for_training_and_for_testing(voc):
    (voc / 'ImageSets/Main/trainval.txt').write_text('a\nb\nd\n')
    report = check_detection_data(voc)
    assert report['shared_images'] == ['d.jpg'] and 'images in both: 1' in describe_check(report)
    assert findings(report) == {('test', 'images to test on that are trained on too'): ['d.jpg']}


@pytest.mark.parametrize(
    ('layout', 'spoil', 'message'),
    [
        ('voc', lambda f: (f / 'ImageSets/Main/test.txt').write_bytes(b'\xff\xfe\xd8'), 'test.txt cannot be read'),
        ('voc', lambda f: (f / 'ImageSets/Main/test.txt').unlink(), r'no test\.txt or val\.txt'),
        ('voc', lambda f: (f / 'ImageSets/Main/test.txt').write_text(''), 'nothing left to evaluate on'),
        ('voc', lambda f: (f / 'JPEGImages').rename(f / 'Images'), '3 annotations without image left out: a.xml'),
        ('voc', lambda f: [truncate(path) for path in f.glob('JPEGImages/[de].jpg')], 'none of its 2 images can be'),
        ('coco', lambda f: edit(f, 'train2017', lambda c: c['categories'][1].update(name='cat')), 'with name cat'),
        ('coco', lambda f: edit(f, 'val2017', lambda c: c.pop('annotations')), 'no COCO annotation file'),
        ('coco', lambda f: (f / 'annotations/instances_val2017.json').write_text('[1, 2'), 'no COCO annotation file'),
        ('coco', lambda f: (f / 'annotations/instances_val2017.json').write_bytes(b'\xff\xfe'), 'cannot be read'),
        ('coco', lambda f: (f / 'val2017').rename(f / 'moved'), 'the images of .*val2017.json are missing'),
    ],
)
def test_data_that_cannot_be_used(request, layout, spoil, message):
    folder = request.getfixturevalue(layout)
    spoil(folder)
    with pytest.raises(InputError, match=message):
        check_detection_data(folder)


@pytest.mark.parametrize('file', ['JPEGImages/a.jpg', 'Annotations/a.xml', 'JPEGImages/d.jpg', 'Annotations/d.xml'])
def test_what_cannot_be_read_is_neither_broken_nor_missing(voc, file):
    break_drive(voc / file)
    with pytest.raises(InputError, match=rf'{file} cannot be read \(Input/output error\)\. The disk has failed there'):
        check_detection_data(voc)


@pytest.mark.parametrize('place', ['images/train/a.jpg', 'labels/train/a.txt'])
def test_what_cannot_be_read_in_yolo_layout(tmp_path, place):
    for part in ('train', 'val'):
        for kind in ('images', 'labels'):
            (tmp_path / kind / part).mkdir(parents=True)
        noise(tmp_path / f'images/{part}/a.jpg', 0)
        (tmp_path / f'labels/{part}/a.txt').write_text('0 0.5 0.5 0.4 0.4\n')
    (tmp_path / 'data.yaml').write_text('names: [cat]\ntrain: images/train\nval: images/val\n')
    check_detection_data(tmp_path)
    break_drive(tmp_path / place)
    with pytest.raises(InputError, match=rf'{place} cannot be read'):
        check_detection_data(tmp_path)


def forbid(monkeypatch, folder):
    """As if nobody might list or enter a folder, which the superuser always may."""

    def refuse(name, beginning):
        function = getattr(os, name)

        def refused(path, *more, **options):
            if str(path).startswith(beginning):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *more, **options)

        monkeypatch.setattr(os, name, refused)

    refuse('scandir', str(folder))
    refuse('listdir', str(folder))
    refuse('stat', f'{folder}/')
    found = Path.glob  # which says nothing, and on Python 3.10 has functions of os of its own
    monkeypatch.setattr(Path, 'glob', lambda path, *given: iter(()) if path == folder else found(path, *given))


@pytest.mark.parametrize(
    ('layout', 'folder'),
    [('voc', 'JPEGImages'), ('voc', 'Annotations'), ('coco', 'annotations'), ('coco', 'train2017')],
)
def test_folders_that_may_not_be_read(request, monkeypatch, layout, folder):
    data = request.getfixturevalue(layout)
    forbid(monkeypatch, data / folder)
    with pytest.raises((PermissionError, InputError), match=f'Permission denied.*{folder}|{folder}.*Permission denied'):
        check_detection_data(data)


def test_exit_status_of_the_tool(voc, monkeypatch, capsys):
    def status(*arguments):
        monkeypatch.setattr(sys, 'argv', ['check_data.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / 'tools/check_data.py'), run_name='__main__')
        return end.value.code

    assert status(voc) == 0
    assert 'objects: dog' in capsys.readouterr().out
    assert status(voc, '--classes', 'cat', '--size', '96') == 1
    assert 'objects of other classes left out: ' in capsys.readouterr().out
    assert status(voc / 'nothing') == 2
    assert 'mim download mmdet --dataset voc2007' in capsys.readouterr().err
    assert status(voc, '--size', '0') == 2


def test_sides_are_those_after_resizing(tmp_path):
    """Of 64x48 pixels to 96x96: 10 wide and 30 high become 15 and 60, 16 and 4 become 24 and 8."""
    boxes = [('cat', 11, 11, 21, 41, 0), ('cat', 31, 11, 47, 15, 0), ('cat', 31, 21, 36, 25, 0)]
    write_voc(tmp_path, {'a': boxes, 'b': [CAT]}, {'trainval': ['a'], 'test': ['b']})
    found = check_detection_data(tmp_path, size=96)['train']
    assert (found['median_px'], found['below_8px']) == (8.0, 1)  # 5 and 4 become 7.5 and 8
    write_voc(tmp_path, {'a': boxes[:1]}, {})
    assert check_detection_data(tmp_path, size=96)['train']['median_px'] == 15
