"""What real data has: odd lists, flags, encodings, images and layouts. The right values are worked out by hand."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import CAT, DOG, ROOT, detector_config, files_up_to, write_coco, write_image, write_voc
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmnetaug import InputError
from mmnetaug.apis.inference import infer
from mmnetaug.apis.test import checkpoint_config, set_test_data
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.datasets import ImageFolder
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.findings import Findings
from mmnetaug.datasets.images import UnusableImage, image_size, jpeg_size, read_deep, to_8_bits, turned_formats
from mmnetaug.datasets.preparation.check import check_detection_data
from mmnetaug.datasets.preparation.split import split_folders, split_voc
from mmnetaug.datasets.transforms import AllBits, LoadImageOrSkip
from mmnetaug.evaluation.metrics import COCOAveragePrecision
from mmnetaug.registry import DATASETS
from mmnetaug.visualization import fonts


def load(found, split, **kwargs):
    options = {'pipeline': [], 'filter_cfg': {'filter_empty_gt': split == 'train'}, 'test_mode': split == 'test'}
    return DATASETS.build({**found[split], 'metainfo': {'classes': found['classes']}, **options, **kwargs})


def boxes(data):
    """File, then label and rounded box of each object."""
    infos = [data.get_data_info(place) for place in range(len(data))]
    return {
        os.path.basename(info['img_path']): [
            (item['bbox_label'], [round(side) for side in item['bbox']]) for item in info['instances']
        ]
        for info in infos
    }


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def noise(path, seed, width=64, height=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)


def tool(name, *arguments, **environment):
    command = [sys.executable, str(ROOT / f'tools/{name}.py'), *map(str, arguments)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
    return subprocess.run(command, capture_output=True, text=True, encoding='utf-8', env=environment, timeout=300)


# --- lists and annotations ---


@pytest.mark.parametrize(
    'lines',
    ['a\nb c\n', '\ufeffa\nb c', 'a.jpg\r\nb c.JPG\r\n', 'JPEGImages/a.jpg\n./JPEGImages/b c.jpg', 'a  1\nb c -1\n\n'],
)
def test_lists_of_images(tmp_path, lines):
    write_voc(tmp_path, {'a': [CAT], 'b c': [DOG], 'd': [CAT]}, {'test': ['d']})
    (tmp_path / 'ImageSets/Main/trainval.txt').write_text(lines, encoding='utf-8')
    data = load(find_detection_data(tmp_path), 'train')
    assert boxes(data) == {'a.jpg': [(0, [10, 10, 30, 30])], 'b c.jpg': [(1, [0, 0, 19, 39])]}
    assert not data.findings.names


def test_a_list_of_one_class_with_names_that_end_in_a_number(tmp_path):
    write_voc(tmp_path, {'img 1': [CAT], 'img': [DOG], 'd': [CAT]}, {'trainval': ['img 1', 'img'], 'test': ['d']})
    assert set(boxes(load(find_detection_data(tmp_path), 'train'))) == {'img 1.jpg', 'img.jpg'}


def test_names_with_blanks_at_their_ends_and_separators_that_end_no_line(tmp_path):
    names = [' a', 'b\u2028c', 'd\x85', 'e\x0bf ']
    write_voc(tmp_path, {name: [CAT] for name in [*names, 'a', 'z']}, {'test': ['z']})
    (tmp_path / 'ImageSets/Main/trainval.txt').write_bytes('\r\n'.join(names).encode())
    assert set(boxes(load(find_detection_data(tmp_path), 'train'))) == {f'{name}.jpg' for name in names}


def test_suffixes_in_capitals_and_names_with_a_line_break(tmp_path, caplog):
    write_voc(tmp_path, {'a': [CAT], 'b': [DOG], 'c': [CAT], 'd\ne': [CAT]}, {})
    for number, name in enumerate('abc'):
        (tmp_path / f'Annotations/{name}.xml').rename(tmp_path / f'Annotations/{name}.XML')
        noise(tmp_path / f'JPEGImages/{name}.jpg', number)
    sets = split_voc(tmp_path, 0.34)
    assert sorted(sets['trainval.txt'] + sets['test.txt']) == ['a', 'b', 'c']
    found = find_detection_data(tmp_path)
    assert found['classes'] == ['cat', 'dog']
    assert len(load(found, 'train')) == 2 and len(load(found, 'test')) == 1


def test_one_bad_object_costs_itself(tmp_path):
    write_voc(tmp_path, {'a': [CAT, DOG], 'b': [CAT]}, {'trainval': ['a'], 'test': ['b']})
    path = tmp_path / 'Annotations/a.xml'
    bad = (
        '<object><name>cat</name></object>'
        '<object><name>cat</name><bndbox><xmin>a</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>'
        '<object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>'
    )
    path.write_text(path.read_text().replace('<object>', bad + '<object>', 1).replace('>0</diff', '></diff', 1))
    data = load(find_detection_data(tmp_path), 'train')
    assert boxes(data) == {'a.jpg': [(0, [10, 10, 30, 30]), (1, [0, 0, 19, 39])]}
    assert {reason: len(names) for reason, names in data.findings.names.items()} == {
        'objects without a box (bndbox with xmin, ymin, xmax, ymax) left out': 2,
        'objects without a class left out': 1,
    }


def test_hidden_files_and_folders_are_no_data(tmp_path, image_tree):
    write_voc(tmp_path / 'voc', {'a': [CAT], 'b': [CAT]}, {'trainval': ['a'], 'test': ['b']})
    write_image(tmp_path / 'voc/JPEGImages/.ipynb_checkpoints/a.jpg', 9, 9)
    write_image(tmp_path / 'voc/JPEGImages/._a.jpg', 9, 9)
    data = load(find_detection_data(tmp_path / 'voc'), 'train')
    assert (data.get_data_info(0)['width'], data.findings.names) == (64, {})
    for folder in ('train/.ipynb_checkpoints', 'train/dark/.ipynb_checkpoints'):
        write_image(image_tree / folder / '0-checkpoint.png')
    assert len(ImageFolder(data_root=str(image_tree), split='train', num_classes=2, pipeline=[])) == 48


# --- COCO ---


def coco(folder, **annotation):
    for split, name in (('train2017', 'a.jpg'), ('val2017', 'b.jpg')):
        write_coco(folder, split, {name: [(1, 10, 10, 20, 20), (2, 30, 5, 20, 30)]})
        path = folder / f'annotations/instances_{split}.json'
        edit(path, lambda content: content['annotations'][1].update(annotation))
    return folder


def perfect_ap(folder, drop=()):
    """AP of detections that are the objects of the file, but those of the labels in ``drop``."""
    found = find_detection_data(folder)
    path = folder / found['test']['ann_file']
    metric = COCOAveragePrecision(str(path))
    metric.dataset_meta = {'classes': found['classes']}
    content = json.loads(path.read_text(encoding='utf-8-sig'))
    for image in content['images']:
        objects = [entry for entry in content['annotations'] if entry['image_id'] == image['id']]
        numbers = {entry['id']: found['classes'].index(str(entry['name'])) for entry in content['categories']}
        objects = [entry for entry in objects if numbers[entry['category_id']] not in drop]
        x1, y1, width, height = torch.tensor([entry['bbox'] for entry in objects], dtype=torch.float32).T
        instances = {
            'bboxes': torch.stack([x1, y1, x1 + width, y1 + height], 1),
            'scores': torch.full((len(objects),), 0.9),
            'labels': torch.tensor([numbers[entry['category_id']] for entry in objects]),
        }
        metric.process(None, [{'img_id': image['id'], 'pred_instances': instances}])
    return pytest.approx(metric.compute_metrics(metric.results)['AP'])


@pytest.mark.parametrize(
    'annotation', [{}, {'area': -600}, {'area': 'large'}, {'iscrowd': '0'}, {'iscrowd': False}, {'iscrowd': None}]
)
def test_flags_and_areas_of_coco(tmp_path, annotation):
    coco(tmp_path, **annotation)
    assert boxes(load(find_detection_data(tmp_path), 'train')) == {
        'a.jpg': [(0, [10, 10, 30, 30]), (1, [30, 5, 50, 35])]
    }
    assert perfect_ap(tmp_path) == 1


@pytest.mark.parametrize('annotation', [{'ignore': 1}, {'ignore': True}, {'iscrowd': '1'}, {'iscrowd': True}])
def test_ignored_objects_of_coco(tmp_path, annotation):
    coco(tmp_path, **annotation)
    (info,) = load(find_detection_data(tmp_path), 'train')
    assert [item['ignore_flag'] for item in info['instances']] == [0, 1]
    assert perfect_ap(tmp_path, drop=[1]) == 1  # neither asked for,
    assert perfect_ap(tmp_path) == 1  # nor punished


def test_encodings_of_coco(tmp_path):
    coco(tmp_path)
    path = tmp_path / 'annotations/instances_train2017.json'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes().replace(b'"dog"', '"狗"'.encode()))
    edited = tmp_path / 'annotations/instances_val2017.json'
    edited.write_text(edited.read_text().replace('"dog"', '"\\u72d7"'))
    found = find_detection_data(tmp_path)
    assert found['classes'] == ['cat', '狗'] and len(load(found, 'train')) == 1


def test_names_of_categories_that_are_numbers(tmp_path):
    coco(tmp_path)
    for split in ('train', 'val'):
        path = tmp_path / f'annotations/instances_{split}2017.json'
        edit(path, lambda content: [entry.update(name=entry['id'] + 6) for entry in content['categories']])
    assert find_detection_data(tmp_path)['classes'] == ['7', '8']
    assert find_detection_data(tmp_path, ['8'])['classes'] == ['8'] and perfect_ap(tmp_path) == 1


def test_a_class_that_no_test_image_shows_is_not_in_the_ap(tmp_path, caplog):
    coco(tmp_path)
    edit(tmp_path / 'annotations/instances_val2017.json', lambda content: content['annotations'].pop())
    data = load(find_detection_data(tmp_path), 'test')
    assert data.findings.names['classes without an object (not in the AP)'] == ['dog']
    assert perfect_ap(tmp_path) == 1


def test_more_objects_than_a_detector_returns(tmp_path):
    grid = [(1, 2 + 5 * (n % 12), 2 + 5 * (n // 12), 4, 4) for n in range(101)]
    write_coco(tmp_path, 'train2017', {'a.jpg': grid})
    write_coco(tmp_path, 'val2017', {'b.jpg': grid})
    (reason,) = [reason for reason in check_detection_data(tmp_path)['findings'].popitem()[1].names if '100' in reason]
    assert reason.startswith('images with more than 100 objects (model.test_cfg.max_per_img')


# --- which file, which layout ---


@pytest.mark.parametrize(
    ('files', 'train', 'test'),
    [
        (['instances_train2017', 'instances_val2017', 'image_info_test'], 'instances_train2017', 'instances_val2017'),
        (
            ['instances_train2017', 'instances_val2017', 'image_info_test2017'],
            'instances_train2017',
            'instances_val2017',
        ),
        (['train', 'test'], 'train', 'test'),
        (['training', 'validation', 'test'], 'training', 'validation'),
        (['contest_train', 'valley_test'], 'contest_train', 'valley_test'),
    ],
)
def test_files_are_told_by_whole_words(tmp_path, files, train, test):
    for number, name in enumerate(files):
        write_coco(tmp_path, 'images', {f'{number}.jpg': [(1, 10, 10, 20, 20)]})
        (tmp_path / 'annotations/instances_images.json').rename(tmp_path / f'annotations/{name}.json')
    found = find_detection_data(tmp_path)
    assert [found[purpose]['ann_file'] for purpose in ('train', 'test')] == [
        f'annotations/{name}.json' for name in (train, test)
    ]


@pytest.mark.parametrize('files', [['trainval'], ['test'], ['train_a', 'train_b', 'val'], ['all']])
def test_files_that_do_not_say_it(tmp_path, files):
    for name in files:
        write_coco(tmp_path, 'images', {'a.jpg': [(1, 10, 10, 20, 20)]})
        (tmp_path / 'annotations/instances_images.json').rename(tmp_path / f'annotations/{name}.json')
    with pytest.raises(InputError, match='Name them: --test-ann and --test-img, to train --train-ann and --train-img'):
        find_detection_data(tmp_path)


def test_roboflow_export(tmp_path):
    for split, name in (('train', 'a_jpg.rf.1.jpg'), ('valid', 'b.jpg'), ('test', 'c.jpg')):
        write_coco(tmp_path, split, {name: [(2, 10, 10, 20, 20)]}, ('cups', 'cup'))
        path = tmp_path / f'annotations/instances_{split}.json'
        edit(path, lambda content: content['categories'][1].update(supercategory='cups'))
        edit(path, lambda content: content['categories'][0].update(supercategory='none'))
        path.rename(tmp_path / split / '_annotations.coco.json')
    found = find_detection_data(tmp_path)
    assert found['classes'] == ['cup']
    assert boxes(load(found, 'train')) == {'a_jpg.rf.1.jpg': [(0, [10, 10, 30, 30])]}
    assert set(boxes(load(found, 'test'))) == {'b.jpg'}


def test_a_split_without_images_is_none(tmp_path):
    """Validation sets are exported empty: the test set is tested on then."""
    for split in ('train', 'valid', 'test'):
        write_coco(tmp_path / 'coco', split, {f'{split}.jpg': [(1, 10, 10, 20, 20)]})
        path = tmp_path / f'coco/annotations/instances_{split}.json'
        path.rename(tmp_path / 'coco' / split / '_annotations.coco.json')
    (tmp_path / 'coco/valid/valid.jpg').unlink()
    assert set(boxes(load(find_detection_data(tmp_path / 'coco'), 'test'))) == {'test.jpg'}

    write_voc(tmp_path / 'voc', {'a': [CAT], 'b': [CAT]}, {'train': ['a'], 'val': ['b'], 'test': []})
    assert set(boxes(load(find_detection_data(tmp_path / 'voc'), 'test'))) == {'b.jpg'}

    for val in ('images/nowhere', 'images/empty'):
        folder = yolo(tmp_path / 'yolo', val=f'val: {val}\ntest: images/val')
        (folder / 'images/empty').mkdir(exist_ok=True)
        assert set(boxes(load(find_detection_data(folder), 'test'))) == {'c.png'}

    write_coco(tmp_path / 'none', 'train', {'a.jpg': [(1, 10, 10, 20, 20)]})
    write_coco(tmp_path / 'none', 'val', {})
    with pytest.raises(InputError, match=r'instances_val\.json lists no image: expected one or more under images'):
        find_detection_data(tmp_path / 'none')


def yolo(folder, names='names: [cat, dog]', train='train: images/train', val='val: images/val'):
    for split, name, text in (
        ('train', 'a', '0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.75 0.25 0.75 0.75\n'),
        ('train', 'b', ''),
        ('val', 'c', '1 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\nnonsense\n7 0.5 0.5 0.1 0.1\n0 320 240 64 48\n'),
    ):
        noise(folder / f'images/{split}/{name}.png', ord(name))
        if text:
            path = folder / f'labels/{split}/{name}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (folder / 'data.yaml').write_text('\n'.join([names, train, val]))
    return folder


def test_boxes_of_yolo_with_keypoints(tmp_path):
    """The points behind a box are no polygon, however many they are."""
    data = yolo(tmp_path, val='val: images/val\nkpt_shape: [2, 2]')
    (data / 'labels/val/c.txt').write_text(
        '1 0.5 0.5 0.25 0.5 0.1 0.1 0.9 0.9\n0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.9 0.9 2\n'
    )
    assert boxes(load(find_detection_data(data), 'test'))['c.png'] == [(1, [24, 12, 40, 36]), (0, [16, 12, 48, 36])]


def test_labels_of_yolo_without_image(tmp_path):
    data = yolo(tmp_path)
    for name in ('a', 'gone', 'classes'):
        (data / f'labels/val/{name}.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    found = find_detection_data(data)
    assert load(found, 'test').findings.names['annotations without image left out'] == ['a.txt', 'gone.txt']
    assert not load(found, 'train').findings.names


def test_boxes_of_yolo_thinner_than_a_pixel(tmp_path):
    data = yolo(tmp_path)
    (data / 'labels/val/c.txt').write_text(f'0 0.5 0.5 {0.9 / 64} 0.5\n1 0.5 0.5 {1.1 / 64} 0.5\n')
    test = load(find_detection_data(data), 'test')
    assert [label for label, _ in boxes(test)['c.png']] == [1]
    assert test.findings.names['boxes thinner than a pixel left out'] == ['c.txt']


def test_labels_of_yolo_below_a_folder_called_images(tmp_path):
    found = find_detection_data(yolo(tmp_path / 'images/mine'))
    assert boxes(load(found, 'test')) == {'c.png': [(1, [24, 12, 40, 36])]}


def test_small_images_of_yolo_are_not_trained_on(tmp_path):
    data = yolo(tmp_path)
    noise(data / 'images/train/b.png', 0, width=64, height=31)
    (data / 'labels/train/b.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    found, names = find_detection_data(data), []
    for least in (31, 32):
        names.append(set(boxes(load(found, 'train', filter_cfg={'min_size': least}))))
    assert names == [{'a.png', 'b.png'}, {'a.png'}]


def test_objects_of_a_class_that_is_tested_alone(tmp_path):
    write_coco(tmp_path, 'train2017', {'a.jpg': [(1, 10, 10, 20, 20)]}, ['cat'])
    write_coco(tmp_path, 'val2017', {'b.jpg': [(1, 10, 10, 20, 20), (2, 5, 5, 9, 9), (2, 30, 20, 20, 20)]})
    (findings,) = check_detection_data(tmp_path)['findings'].values()
    assert findings.names['objects of other classes left out'] == ['dog (first in b.jpg)'] * 2


def test_findings_of_sets_with_one_folder_of_annotations(tmp_path):
    write_voc(tmp_path, {'a': [CAT, ('cat', 5, 5, 5, 9, 0)], 'b': [CAT]}, {})
    for split, name in (('train', 'a'), ('test', 'b')):
        (tmp_path / split).mkdir()
        (tmp_path / f'JPEGImages/{name}.jpg').rename(tmp_path / split / f'{name}.jpg')
    named = {split: (str(tmp_path / 'Annotations'), str(tmp_path / split)) for split in ('train', 'test')}
    found = check_detection_data(None, files=named)['findings']
    assert sorted(place.rpartition(' ')[2] for place in found) == ['(test)', '(train)']
    (train,) = (findings.names for place, findings in found.items() if place.endswith('(train)'))
    assert sorted(names for each in train.values() for names in each) == ['a.xml', 'b.xml']


@pytest.mark.parametrize(
    'names', ['names: [cat, dog]', 'nc: 2\nnames:\n  0: cat\n  1: dog', "names: {'1': dog, '0': cat}"]
)
def test_yolo_layout(tmp_path, names):
    found = find_detection_data(yolo(tmp_path, names))
    assert (found['layout'], found['classes']) == ('yolo', ['cat', 'dog'])
    # of 64x48: centre 32, 24, sides 16, 24; and the box around a polygon
    assert boxes(load(found, 'train')) == {'a.png': [(0, [24, 12, 40, 36]), (1, [16, 12, 48, 36])]}
    test = load(found, 'test')
    assert boxes(test) == {'c.png': [(1, [24, 12, 40, 36])]}
    assert test.findings.names['lines of labels that are none, or of an unknown class, left out'] == ['c.txt'] * 3
    assert boxes(load(find_detection_data(tmp_path, ['dog']), 'train')) == {'a.png': [(0, [16, 12, 48, 36])]}


def test_yolo_places(tmp_path):
    """Lists, several folders, Roboflow's ``../``, and a ``path`` of another machine."""
    yolo(tmp_path, train='path: /nowhere/else\ntrain: [../images/train]', val='val: val.txt')
    (tmp_path / 'val.txt').write_text('./images/val/c.png\n')
    found = find_detection_data(tmp_path)
    assert set(boxes(load(found, 'train'))) == {'a.png'} and set(boxes(load(found, 'test'))) == {'c.png'}


def test_yolo_patterns_below_a_folder_with_brackets(tmp_path):
    folder = yolo(tmp_path / '[1]', train='train: images/tr*/*.png')
    (folder / 'val.txt').write_text('./images/val/ c.png\n')
    (folder / 'images/val/c.png').rename(folder / 'images/val/ c.png')
    (folder / 'data.yaml').write_text((folder / 'data.yaml').read_text().replace('images/val', 'val.txt'))
    found = find_detection_data(folder)
    assert set(boxes(load(found, 'train'))) == {'a.png'}
    data = DATASETS.build({**found['test'], 'pipeline': [], 'metainfo': {'classes': ['cat', 'dog']}, 'lazy_init': True})
    assert [info['img_path'] for info in data.load_data_list()] == [str(folder / 'images/val/ c.png')]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'names': 'names: [cat, cat]'}, 'no data.yaml of YOLO'),
        ({'names': 'nc: 2.5.1'}, 'no data.yaml of YOLO'),
        ({'names': 'names: [a'}, 'no data.yaml of YOLO'),
        ({'train': ''}, 'has no train to train on'),
        ({'val': 'val: images/nowhere'}, 'val is images/nowhere, and there is nothing at'),
    ],
)
def test_yolo_errors(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        load(find_detection_data(yolo(tmp_path, **options)), 'test')


def test_training_on_yolo_layout(tmp_path):
    (yolo(tmp_path / 'data') / 'labels/train/b.txt').write_text('0 0.5 0.5 0.5 0.5')
    config = detector_config(tmp_path / 'data', tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    result = train_detector(config)
    assert result['classes'] == ['cat', 'dog'] and 'AP50_area' in result
    write_voc(tmp_path / 'voc', {'x': [DOG]}, {'test': ['x']})
    config = checkpoint_config(result['checkpoint'])
    set_test_data(config, str(tmp_path / 'voc'))  # no images to train on, no cat, another layout
    config.work_dir = str(tmp_path / 'test')
    assert set(evaluate_detector(config, result['checkpoint'])['class_AP50']) == {'dog'}


@pytest.mark.parametrize('layout', ['coco', 'voc'])
def test_four_paths(tmp_path, layout):
    if layout == 'coco':
        write_coco(tmp_path, 'one', {'a.jpg': [(1, 10, 10, 20, 20)]})
        write_coco(tmp_path, 'two', {'b.jpg': [(1, 10, 10, 20, 20)]})
        annotations = [tmp_path / f'annotations/instances_{name}.json' for name in ('one', 'two')]
        images = [tmp_path / 'one', tmp_path / 'two']
    else:
        write_voc(tmp_path / 'one', {'a': [CAT]}, {})
        write_voc(tmp_path / 'two', {'b': [CAT]}, {})
        annotations = [tmp_path / name / 'Annotations' for name in ('one', 'two')]
        images = [tmp_path / name / 'JPEGImages' for name in ('one', 'two')]
    files = {purpose: tuple(map(str, pair)) for purpose, pair in zip(('train', 'test'), zip(annotations, images))}
    found = find_detection_data(None, files=files)
    assert found['layout'] == layout and found['classes'][0] == 'cat'
    assert set(boxes(load(found, 'train'))) == {'a.jpg'} and set(boxes(load(found, 'test'))) == {'b.jpg'}
    with pytest.raises(InputError, match=r'--train-img .*nowhere: nothing there'):
        find_detection_data(None, files={**files, 'train': (files['train'][0], str(tmp_path / 'nowhere'))})
    with pytest.raises(InputError, match='--test-ann missing'):
        find_detection_data(None, files={'train': files['train']})


def test_split(tmp_path, monkeypatch):
    write_voc(tmp_path, {f'{n:02}': [CAT] for n in range(20)}, {})
    for number, path in enumerate(sorted((tmp_path / 'JPEGImages').iterdir())):
        noise(path, number)
    (tmp_path / 'JPEGImages/07.jpg').write_bytes((tmp_path / 'JPEGImages/03.jpg').read_bytes())
    (tmp_path / 'Annotations/19.xml').unlink()
    (tmp_path / 'ImageSets/Main').rmdir()
    with pytest.raises(InputError, match=rf'`mmnetaug split {tmp_path}`'):
        find_detection_data(tmp_path)
    (tmp_path / 'Annotations/extra.xml').write_text('<annotation/>')
    said = []
    monkeypatch.setattr(Findings, 'report', lambda self, place: said.append(sorted(self.lines())))
    sets = split_voc(tmp_path, 0.25)
    assert said == [
        ['1 annotations without an image left out: extra.xml', '1 images without annotations left out: 19.jpg']
    ]
    trainval, test = set(sets['trainval.txt']), set(sets['test.txt'])
    assert trainval | test == {f'{n:02}' for n in range(19)} and not trainval & test
    assert 4 <= len(test) <= 5 and ({'03', '07'} <= test or {'03', '07'} <= trainval)
    assert len(load(find_detection_data(tmp_path), 'test')) == len(test)
    with pytest.raises(InputError, match=r'has test\.txt, trainval\.txt already: nothing is replaced'):
        split_voc(tmp_path)
    for path in (tmp_path / 'ImageSets/Main').iterdir():
        path.unlink()
    assert split_voc(tmp_path, 0.25) == sets
    for path in (tmp_path / 'ImageSets/Main').iterdir():
        path.unlink()
    assert split_voc(tmp_path, 0.25, seed=1) != sets
    with pytest.raises(InputError, match='share 1'):
        split_voc(tmp_path, 1)


def test_a_split_on_a_full_disk_leaves_no_list(tmp_path):
    write_voc(tmp_path, {f'{n:02}': [CAT] for n in range(12)}, {})
    for number, path in enumerate(sorted((tmp_path / 'JPEGImages').iterdir())):
        noise(path, number)
    with files_up_to(12), pytest.raises(OSError):  # which the first list stays below
        split_voc(tmp_path, 0.75)
    assert list((tmp_path / 'ImageSets/Main').iterdir()) == []
    assert [len(names) for names in split_voc(tmp_path, 0.75).values()] == [3, 9]
    assert len((tmp_path / 'ImageSets/Main/test.txt').read_text().splitlines()) == 9


def test_split_of_class_folders(tmp_path):
    for name in ('cat', 'dog'):
        (tmp_path / 'all' / name).mkdir(parents=True)
        for number in range(20):
            noise(tmp_path / f'all/{name}/{number}.png', 20 * (name == 'cat') + number)
    copy = tmp_path / 'all/cat/copy.png'
    copy.write_bytes((tmp_path / 'all/cat/3.png').read_bytes())
    with pytest.raises(InputError, match=r'not yet divided \(mmnetaug split DIR --out DIR\)'):
        ImageFolder(str(tmp_path / 'all'), 'train')
    made = split_folders(tmp_path / 'all', tmp_path / 'made', 0.25)
    sets = {part: set((tmp_path / 'made' / part).glob('*/*.png')) for part in ('train', 'val')}
    assert {part: len(paths) for part, paths in sets.items()} == made and sum(made.values()) == 41
    assert {part: len(ImageFolder(str(tmp_path / 'made'), part)) for part in ('train', 'val')} == made
    names = {part: {f'{path.parent.name}/{path.name}' for path in paths} for part, paths in sets.items()}
    assert not names['train'] & names['val'] and len([name for name in names['val'] if name.startswith('dog')]) == 5
    assert {'cat/3.png', 'cat/copy.png'} <= names['train'] or {'cat/3.png', 'cat/copy.png'} <= names['val']
    split_folders(tmp_path / 'all', tmp_path / 'again', 0.25)
    assert sorted(path.name for path in (tmp_path / 'again/val/dog').iterdir()) == sorted(
        path.name for path in (tmp_path / 'made/val/dog').iterdir()
    )
    for folder, out, message in [
        ('all', 'made', 'made: expected a new folder outside of .*all; nothing is replaced'),
        ('all', 'all/made', 'expected a new folder outside of'),
        ('made', 'third', 'made is divided already, into train, val: give one of these'),
        ('nowhere', 'third', 'no folder .*nowhere: expected one with images in one folder a class'),
    ]:
        with pytest.raises(InputError, match=message):
            split_folders(tmp_path / folder, tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['again', 'all', 'made'], 'nothing is left behind'
    with pytest.raises(InputError, match=r'1 different images in .*one: expected two or more in each class'):
        (tmp_path / 'all/one').mkdir()
        noise(tmp_path / 'all/one/0.png', 0)
        split_folders(tmp_path / 'all', tmp_path / 'third')


def test_training_on_what_is_tested_on(tmp_path):
    write_voc(tmp_path / 'voc', {name: [CAT] for name in 'abc'}, {'trainval': ['a', 'b'], 'test': ['b', 'c']})
    config = detector_config(tmp_path / 'voc', tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    with pytest.raises(InputError, match=r'1 of 2 images to test on are trained on too.*b\.jpg.*--allow-overlap'):
        train_detector(config)
    config.allow_overlap, config.work_dir = True, str(tmp_path / 'again')
    assert train_detector(config)['test_images'] == 2


# --- images ---


@pytest.mark.parametrize('kind', ['JPEG', 'MPO', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('orientation', [1, 3, 5, 6, 7, 8])
def test_size_is_that_of_the_loader(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    suffix = {'JPEG': '.jpg', 'MPO': '.mpo', 'PNG': '.png', 'WEBP': '.webp', 'TIFF': '.tif'}[kind]
    path = tmp_path / f'a{suffix}'
    Image.new('RGB', (64, 48)).save(path, kind, exif=exif)
    loaded = LoadImageFromFile()({'img_path': str(path)})['img'].shape[1::-1]
    assert image_size(path, decode=False) == image_size(path, decode=True) == loaded
    ours = LoadImageOrSkip()({'img_path': str(path)})['img'].shape[1::-1]
    assert ours == AllBits()(LoadImageFromFile()({'img_path': str(path)}))['img'].shape[1::-1] == loaded
    if orientation == 1:
        assert loaded == (64, 48)


@pytest.mark.filterwarnings('error')
def test_as_many_pixels_as_pillow_warns_of(tmp_path, monkeypatch):
    """Which a program may have made an error."""
    write_image(tmp_path / 'a.jpg', 7, 5)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 20)  # above which it warns, and above twice as many refuses
    assert image_size(tmp_path / 'a.jpg', decode=True) == (7, 5)
    assert jpeg_size((tmp_path / 'a.jpg').read_bytes()) is None


def test_annotations_for_the_image_before_it_is_turned(tmp_path):
    assert 'JPEG' in turned_formats()
    write_voc(tmp_path, {'a': [CAT], 'b': [CAT], 'c': [CAT]}, {'trainval': ['a', 'b'], 'test': ['c']})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (64, 48)).save(tmp_path / 'JPEGImages/a.jpg', exif=exif)
    Image.new('RGB', (128, 96)).save(tmp_path / 'JPEGImages/b.jpg')
    assert load(find_detection_data(tmp_path), 'train').findings.names == {
        'annotations made for the image before its EXIF orientation turns it': ['a.jpg'],
        'annotations made for another size of their image': ['b.jpg'],
    }


def test_deep_images(tmp_path):
    """12 of 16 bits and 16 bits, each as its 8-bit picture; fractions are refused."""
    expected = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    expected[0, 0] = 255
    cv2.imwrite(str(tmp_path / 'twelve.png'), expected.astype(np.uint16) << 4)
    cv2.imwrite(str(tmp_path / 'sixteen.tif'), expected.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / 'eight.tif'), expected)
    for path in tmp_path.iterdir():
        assert np.array_equal(read_deep(path), expected), path
        assert np.array_equal(LoadImageOrSkip()({'img_path': str(path)})['img'], expected)
        assert np.array_equal(AllBits()(LoadImageFromFile()({'img_path': str(path)}))['img'], expected)
    for name, image in (('colours', expected), ('grey', expected[..., 0])):
        for kind in (np.float32, np.int32):
            path = tmp_path / f'{name}.tif'
            cv2.imwrite(str(path), image.astype(kind))
            with pytest.raises(UnusableImage, match='values that are not of 8 or 16 bits'):
                image_size(path, decode=False)


@pytest.mark.parametrize('bits', [9, 10, 11, 12, 13, 14, 15, 16])
def test_values_of_10_12_14_or_16_bits(bits):
    """By the highest value; the next even number of bits."""
    image = np.array([[2**bits - 1, 2 ** (bits - 1)]], np.uint16)
    assert to_8_bits(image).tolist() == ([[255, 128]] if bits % 2 == 0 else [[127, 64]])


@pytest.fixture
def odd_images(tmp_path):
    """A folder in COCO layout with every kind of file; those of ``good`` in their names are images."""
    folder = tmp_path / 'data/train2017'
    folder.mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    picture.save(folder / 'good.jfif', 'JPEG')
    picture.convert('CMYK').save(folder / 'good_cmyk.jpg')
    picture.convert('P').save(folder / 'good_palette.png')
    picture.convert('L').save(folder / 'good_grey.png')
    picture.convert('RGBA').save(folder / 'good_alpha.png')
    picture.convert('1').save(folder / 'good_bits.png')
    cv2.imwrite(str(folder / 'good_12.png'), np.full((48, 64, 3), 4000, np.uint16))
    cv2.imwrite(str(folder / 'nan.tif'), np.full((48, 64, 3), np.nan, np.float32))
    os.mkfifo(folder / 'pipe.jpg')
    (folder / 'folder.jpg').mkdir()
    (folder / 'empty.jpg').touch()
    (folder / 'text.png').write_text('no picture')
    picture.save(folder / 'cut.png')
    (folder / 'cut.png').write_bytes((folder / 'cut.png').read_bytes()[:2000])
    picture.save(folder / 'cut_at_its_end.png')
    (folder / 'cut_at_its_end.png').write_bytes((folder / 'cut_at_its_end.png').read_bytes()[:-14])
    odd = os.fsdecode(b'caf\xe9.png')
    picture.save(os.path.join(folder, odd))
    names = sorted(path.name for path in folder.iterdir())
    images = [{'id': i, 'file_name': name, 'width': 64, 'height': 48} for i, name in enumerate(names, 1)]
    entries = [{'id': i, 'image_id': i, 'category_id': 1, 'bbox': [9, 9, 20, 20]} for i in range(1, len(names) + 1)]
    content = {'images': images, 'annotations': entries, 'categories': [{'id': 1, 'name': 'cat'}]}
    (tmp_path / 'data/annotations').mkdir()
    (tmp_path / 'data/annotations/instances_train2017.json').write_text(json.dumps(content))
    write_coco(tmp_path / 'data', 'val2017', {'other.jpg': [(1, 10, 10, 20, 20)]}, ('cat',))
    return tmp_path / 'data'


def test_odd_images_in_training_check_and_testing(odd_images):
    good = {path.name for path in (odd_images / 'train2017').iterdir() if 'good' in path.name}
    assert len(good) == 7
    found = find_detection_data(odd_images)
    assert set(boxes(load(found, 'train', decode=True))) == good
    data = load(found, 'train')  # reads no more than headers
    assert good <= set(boxes(data)) <= good | {'cut.png', 'cut_at_its_end.png', 'nan.tif'}
    loaded = {name: LoadImageOrSkip()({'img_path': f'{odd_images}/train2017/{name}'}) for name in boxes(data)}
    assert {name for name, result in loaded.items() if result} <= good | {'cut.png', 'cut_at_its_end.png'}
    tested = load({**found, 'test': found['train']}, 'test')
    assert set(boxes(tested)) == good
    assert tested.findings.names['files with names that are no UTF-8 left out'] == ['caf\\udce9.png']
    report = check_detection_data(odd_images)
    assert report['train']['images'] == 7


def test_odd_images_in_inference(odd_images, tmp_path):
    config = detector_config(odd_images, tmp_path / 'run', 'ssdlite_baseline_coco', epochs=1)
    checkpoint = train_detector(config)['checkpoint']
    good = {path.name for path in (odd_images / 'train2017').iterdir() if 'good' in path.name}
    renamed = {'good.jfif': 'good.jfif.jpg', 'good_12.png': 'good_12.png.png'}
    drawn = infer(odd_images / 'train2017', checkpoint, tmp_path / 'out', score_thr=0.9)
    again = infer(odd_images / 'train2017', checkpoint, tmp_path / 'all', score_thr=0)
    found = json.loads((tmp_path / 'all/predictions.json').read_text())
    named = {each['image_id']: renamed.get(each['file_name'], each['file_name']) for each in found}
    assert {number: again[number].name for number in named} == named and len(named) > 2
    before = (tmp_path / 'all/predictions.json').read_bytes()
    (tmp_path / 'cut').mkdir()
    shutil.copy(odd_images / 'train2017/cut.png', tmp_path / 'cut')
    with pytest.raises(InputError, match=r'no image in .*cut can be decoded to its end'):
        infer(tmp_path / 'cut', checkpoint, tmp_path / 'all')
    assert (tmp_path / 'all/predictions.json').read_bytes() == before
    long = tmp_path / f'{"z" * 250}.jpe'  # the longest name that there is, with a suffix that OpenCV may not write
    long.write_bytes((odd_images / 'train2017/good.jfif').read_bytes())
    assert infer(long, checkpoint, tmp_path / 'out', score_thr=0.9)[0].is_file()
    cv2.imwrite(str(tmp_path / f'{"z" * 250}.png'), np.full((48, 64, 3), 4000, np.uint16))
    assert infer(tmp_path / f'{"z" * 250}.png', checkpoint, tmp_path / 'out', score_thr=0.9)[0].is_file()
    assert {path.name for path in drawn} == {renamed.get(name, name) for name in good} and all(
        path.is_file() for path in drawn
    )
    twelve = cv2.imread(str(tmp_path / 'out/vis/good_12.png.png'))
    assert abs(int(np.median(twelve)) - 250) <= 1  # 4000 of 4096, not 4000 of 65536
    with pytest.raises(InputError, match=r'no image in .*folder'):
        infer(odd_images / 'train2017/folder.jpg', checkpoint, tmp_path / 'out')


@pytest.mark.parametrize('name', ['../../outside.jpg', '{root}/outside.jpg', 'sub/../../../outside.jpg'])
def test_images_outside_the_data_folder(tmp_path, name):
    data = coco(tmp_path / 'data')
    write_image(tmp_path / 'outside.jpg')
    name = name.format(root=tmp_path)
    (data / 'train2017/sub').mkdir()

    def add(content):
        content['images'].append({'id': 9, 'file_name': name, 'width': 64, 'height': 48})
        content['annotations'].append({'id': 9, 'image_id': 9, 'category_id': 1, 'bbox': [1, 1, 9, 9]})

    edit(data / 'annotations/instances_train2017.json', add)
    found = find_detection_data(data)
    closed = load(found, 'train')
    reason = 'images outside the data folder left out (--allow-outside reads them)'
    assert set(boxes(closed)) == {'a.jpg'} and closed.findings.names[reason] == [name]
    assert set(boxes(load(found, 'train', allow_outside=True))) == {'a.jpg', 'outside.jpg'}


# --- text of any script, whatever the locale ---


def test_names_of_any_script_in_a_locale_of_ascii(tmp_path):
    names = {'собака': [('杯子', 11, 11, 31, 31, 0)], 'β': [('杯子', 11, 11, 31, 31, 0)]}
    write_voc(tmp_path / 'voc', names, {})
    noise(tmp_path / 'voc/JPEGImages/β.jpg', 1)
    ascii_only = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0', 'PYTHONIOENCODING': ''}
    done = tool('split_data', tmp_path / 'voc', '--test', '0.5', **ascii_only)
    assert done.returncode == 0, done.stderr
    done = tool('check_data', tmp_path / 'voc', **ascii_only)
    assert done.returncode == 0 and 'objects: 杯子' in done.stdout, done.stderr


def test_half_a_surrogate_in_the_name_of_a_class(tmp_path):
    for split, name in (('train', 'a.jpg'), ('val', 'b.jpg')):
        write_coco(tmp_path, split, {name: [(1, 10, 10, 20, 20)]}, ('cat \ud800',))
    assert find_detection_data(tmp_path)['classes'] == ['cat \\ud800']
    noise(tmp_path / 'val/b.jpg', 1)
    done = tool('check_data', tmp_path, PYTHONIOENCODING='ascii')
    assert done.returncode == 0 and 'cat \\ud800' in done.stdout, done.stderr


def test_a_font_for_the_names(monkeypatch):
    assert fonts.choose_font(['cat', 'собака']) == []
    assert fonts.choose_font(['cat', '\U000e0fff']) == ['\U000e0fff']


def test_links_that_lead_back_pipes_and_headers_beyond_all_limits(tmp_path):
    write_voc(tmp_path, {'a': [CAT], 'b': [CAT], 'c': [CAT]}, {'trainval': ['a', 'b'], 'test': ['c']})
    for name in ('one', 'two'):
        (tmp_path / 'JPEGImages' / name).symlink_to('.')
    (tmp_path / 'Annotations/b.xml').unlink()
    os.mkfifo(tmp_path / 'Annotations/b.xml')
    assert set(boxes(load(find_detection_data(tmp_path), 'train'))) == {'a.jpg'}
    noise(tmp_path / 'wide.bmp', 0)
    content = bytearray((tmp_path / 'wide.bmp').read_bytes())
    content[18:22] = (0x7FFFFF).to_bytes(4, 'little')
    (tmp_path / 'wide.bmp').write_bytes(content)
    with pytest.raises(UnusableImage):
        image_size(tmp_path / 'wide.bmp', decode=True)
