"""Detection data in VOC and COCO layout, with the warts of real data."""

import json

import cv2
import numpy as np
import pytest
from helpers import CAT, DOG, write_coco, write_voc
from mmengine.dataset import Compose

from mmnetaug import InputError
from mmnetaug.datasets import findings
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.registry import DATASETS


@pytest.fixture
def voc(tmp_path):
    images = {'a': [CAT], 'b': [DOG, CAT], 'c': [DOG]}
    write_voc(tmp_path / 'voc', images, {'trainval': ['a', 'b'], 'test': ['c']})
    return tmp_path / 'voc'


def load(found, split, **kwargs):
    options = {'pipeline': [], 'filter_cfg': {'filter_empty_gt': True}, 'test_mode': split == 'test'}
    return DATASETS.build({**found[split], 'metainfo': {'classes': found['classes']}, **options, **kwargs})


def boxes(data):
    return [
        (info['img_id'], instance['bbox_label'], instance['bbox'])
        for info in (data.get_data_info(i) for i in range(len(data)))
        for instance in info['instances']
    ]


def test_voc_folder(voc):
    found = find_detection_data(voc)
    assert found['classes'] == ['cat', 'dog']
    # VOC counts pixels from 1
    assert boxes(load(found, 'train')) == [
        ('a', 0, [10, 10, 30, 30]),
        ('b', 1, [0, 0, 19, 39]),
        ('b', 0, [10, 10, 30, 30]),
    ]
    assert boxes(load(found, 'test')) == [('c', 1, [0, 0, 19, 39])]


def test_some_classes_only(voc):
    found = find_detection_data(voc, classes=['dog'])
    assert boxes(load(found, 'train')) == [('b', 0, [0, 0, 19, 39])]


def test_unknown_class_lists_what_exists(voc):
    with pytest.raises(InputError, match=r'no class cow in .*: expected some of cat, dog'):
        find_detection_data(voc, classes=['dog', 'cow'])


def test_voc_protocol_trains_on_both_years(tmp_path):
    root = tmp_path / 'data' / 'VOCdevkit'
    write_voc(root / 'VOC2007', {'a': [CAT], 'b': [CAT]}, {'trainval': ['a'], 'test': ['b'], 'train': ['a']})
    write_voc(root / 'VOC2012', {'2012_c': [DOG]}, {'trainval': ['2012_c'], 'val': ['2012_c']})
    for place in (root, root.parent):
        found = find_detection_data(place)
        assert [info[0] for info in boxes(load(found, 'train'))] == ['a', '2012_c']
        assert [info[0] for info in boxes(load(found, 'test'))] == ['b']


def test_other_image_formats(tmp_path):
    write_voc(tmp_path, {'a': [CAT], 'b': [CAT]}, {'train': ['a'], 'val': ['b']}, suffix='.png')
    assert load(find_detection_data(tmp_path), 'train').get_data_info(0)['img_path'].endswith('a.png')


def test_warts_are_counted_and_named(voc, monkeypatch):
    images = {
        'flat': [('cat', 5, 5, 5, 9, 0), CAT],
        'outside': [('cat', 100, 5, 120, 20, 0), CAT],
        'across': [('dog', 40, 30, 90, 70, 0)],
        'no_image': [CAT],
        'no_picture': [CAT],
        'broken_xml': [CAT],
        'no_xml': [CAT],
        'hard': [('cat', 11, 11, 31, 31, 1)],
    }
    write_voc(voc, images, {'trainval': list(images)})
    (voc / 'JPEGImages' / 'no_image.jpg').unlink()
    (voc / 'JPEGImages' / 'no_picture.jpg').write_text('this is no picture')
    (voc / 'Annotations' / 'broken_xml.xml').write_text('<annotation><object>')
    (voc / 'Annotations' / 'no_xml.xml').unlink()
    messages = []
    monkeypatch.setattr(findings, 'print_log', lambda message, *args: messages.append(message))

    data = load(find_detection_data(voc), 'train')
    assert boxes(data) == [
        ('flat', 0, [10, 10, 30, 30]),
        ('outside', 0, [10, 10, 30, 30]),
        ('across', 1, [39, 29, 64, 48]),
        ('hard', 0, [10, 10, 30, 30]),
    ]
    assert data.get_data_info(3)['instances'][0]['ignore_flag'] == 1
    assert data.findings.names == {
        'boxes without area left out': ['flat.xml'],
        'boxes outside their image left out': ['outside.xml'],
        'boxes cut at the border of their image': ['across.xml'],
        'annotations without image left out': ['no_image.xml'],
        'files that are no images left out': ['no_picture.jpg'],
        'broken annotations left out': ['broken_xml.xml'],
        'images without annotation left out': ['no_xml.jpg'],
    }
    assert f'{voc} (trainval): 1 boxes without area left out: flat.xml' in messages


def test_nothing_left_is_an_error(voc):
    found = find_detection_data(voc)
    for name in ('a', 'b'):
        (voc / 'JPEGImages' / f'{name}.jpg').write_text('')
    with pytest.raises(InputError, match='nothing left to train on; expected images with boxes of cat, dog'):
        load(found, 'train')


def test_coco_folder(tmp_path):
    write_coco(tmp_path, 'train2017', {'a.jpg': [(2, 1, 2, 10, 20)], 'b.png': [(1, 50, 40, 30, 30), (1, 5, 5, 0, 9)]})
    write_coco(tmp_path, 'val2017', {'c.jpg': [(1, 1, 2, 10, 20)]})
    found = find_detection_data(tmp_path)
    assert found['classes'] == ['cat', 'dog']
    data = load(found, 'train')
    assert boxes(data) == [(1, 1, [1, 2, 11, 22]), (2, 0, [50, 40, 64, 48])]
    assert data.findings.names == {
        'boxes cut at the border of their image': ['b.png'],
        'boxes without area left out': ['b.png'],
    }
    assert boxes(load(find_detection_data(tmp_path, ['dog']), 'train')) == [(1, 0, [1, 2, 11, 22])]


def test_coco_broken_and_missing_images(tmp_path):
    write_coco(tmp_path, 'train2017', {name: [(1, 1, 2, 10, 20)] for name in ('a.jpg', 'b.jpg', 'c.jpg')})
    write_coco(tmp_path, 'val2017', {'c.jpg': [(1, 1, 2, 10, 20)]})
    (tmp_path / 'train2017' / 'b.jpg').write_text('no picture')
    (tmp_path / 'train2017' / 'c.jpg').unlink()
    data = load(find_detection_data(tmp_path), 'train')
    assert [info[0] for info in boxes(data)] == [1]
    assert sorted(data.findings.names.values()) == [['b.jpg'], ['c.jpg'], ['dog']]


def test_coco_categories_in_another_order(tmp_path):
    write_coco(tmp_path, 'train2017', {'a.jpg': [(2, 1, 2, 10, 20)]}, ('cat', 'dog'))
    write_coco(tmp_path, 'val2017', {'b.jpg': [(2, 1, 2, 10, 20)]}, ('dog', 'cat'))
    found = find_detection_data(tmp_path)
    assert boxes(load(found, 'train')) == [(1, 1, [1, 2, 11, 22])]
    assert boxes(load(found, 'test')) == [(1, 0, [1, 2, 11, 22])]


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda root: None, 'no data set at .*mmnetaug make-data shapes'),
        (lambda root: root.mkdir(), 'neither VOC, COCO nor YOLO layout.*it holds nothing'),
        (lambda root: write_voc(root, {'a': [CAT]}, {'trainval': ['a']}), r'has no test\.txt or val\.txt'),
        (lambda root: write_voc(root, {'a': []}, {'train': ['a'], 'val': ['a']}), 'name no class'),
        (
            lambda root: write_coco(root, 'train2017', {'a.jpg': []}),
            'no file with the word "val" or "test" in',
        ),
    ],
)
def test_folders_that_do_not_do(tmp_path, make, message):
    make(tmp_path / 'data')
    with pytest.raises(InputError, match=message):
        find_detection_data(tmp_path / 'data')


def test_without_a_test_set_nothing_is_trained_on_that_is_tested_on(voc):
    main = voc / 'ImageSets/Main'
    (main / 'test.txt').unlink()
    (main / 'train.txt').write_text('a\n')
    (main / 'val.txt').write_text('b\n')
    found = find_detection_data(voc)
    assert found['train']['ann_file'] == ['ImageSets/Main/train.txt']
    assert found['test']['ann_file'] == ['ImageSets/Main/val.txt']


def test_truncated_image_is_left_out_of_testing_and_replaced_in_training(voc):
    for name in ('a', 'c'):
        path = voc / f'JPEGImages/{name}.jpg'
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:900])
    found = find_detection_data(voc)
    with pytest.raises(InputError, match='nothing left to evaluate'):
        load(found, 'test')
    train = load(found, 'train')
    train.pipeline = Compose([dict(type='mmnetaug.LoadImageOrSkip')])
    with pytest.warns(UserWarning, match=r'a\.jpg is no readable image'):
        assert train[0]['img_path'].endswith('b.jpg')


def test_images_without_boxes_are_tested_on_but_not_trained_on(tmp_path):
    # one has no annotation at all, one a box without area only
    images = {'a': [CAT], 'empty': [], 'flat': [('cat', 5, 5, 5, 9, 0)]}
    write_voc(tmp_path / 'voc', images, {'trainval': images, 'test': images})
    images = {'a.jpg': [(1, 1, 2, 10, 20)], 'empty.jpg': [], 'flat.jpg': [(1, 5, 5, 0, 9)]}
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path / 'coco', split, images)
    for layout in ('voc', 'coco'):
        found = find_detection_data(tmp_path / layout)
        assert (len(load(found, 'train')), len(load(found, 'test'))) == (1, 3)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_difficult_objects_alone_are_nothing(voc, split):
    hard = ('cat', 11, 11, 31, 31, 1)
    write_voc(voc, {'a': [hard], 'b': [hard], 'c': [hard]}, {})
    with pytest.raises(InputError, match=r'nothing left to .* not only difficult'):
        load(find_detection_data(voc), split)


def test_nothing_left_says_why(voc):
    found = find_detection_data(voc)
    (voc / 'JPEGImages/c.jpg').unlink()
    with pytest.raises(InputError, match=r'evaluate on.*\n    1 annotations without image left out: c\.xml'):
        load(found, 'test')


@pytest.mark.parametrize(
    'change, finding',
    [
        ({'bbox': None}, 'annotations without a box left out'),
        ({'bbox': []}, 'annotations without a box left out'),
        ({'bbox': [1, 2, 3]}, 'annotations without a box left out'),
        ({'bbox': [1, 2, 'wide', 3]}, 'annotations without a box left out'),
        ({'bbox': [1, 2, float('nan'), 3]}, 'annotations without a box left out'),
        ({'bbox': [1, 2, 10**400, 3]}, 'annotations without a box left out'),
        ({'bbox': [1, 2, -5, 3]}, 'boxes without area left out'),
        ({'image_id': 77}, 'annotations of no image left out'),
        ({'image_id': [1]}, 'annotations of no image left out'),
        ({'category_id': 77}, 'annotations of an unknown category left out'),
        ({'id': 2}, None),
        ({'id': None}, None),
        ({'bbox': ['0', '0', '9', '9']}, None),
        ({'image_id': '1', 'category_id': 1.0}, None),
        ({'area': -81}, None),
        ({'area': 'unknown'}, None),
        ({'iscrowd': '0', 'ignore': False}, None),
    ],
)
def test_one_bad_annotation_costs_itself_alone(tmp_path, change, finding):
    write_coco(tmp_path, 'train2017', {'a.jpg': [(1, 0, 0, 9, 9), (2, 0, 0, 9, 9)]})
    write_coco(tmp_path, 'val2017', {'b.jpg': [(1, 0, 0, 9, 9), (2, 0, 0, 9, 9)]})
    path = tmp_path / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0].update(change)
    path.write_text(json.dumps(content))
    data = load(find_detection_data(tmp_path), 'train')
    both = [(1, 0, [0, 0, 9, 9]), (1, 1, [0, 0, 9, 9])]
    assert boxes(data) == (both[1:] if finding else both)
    assert finding is None or len(data.findings.names[finding]) == 1


def test_images_whose_boxes_are_all_left_out_are_not_trained_on(tmp_path):
    images = {'a.jpg': [(1, 1, 2, 10, 20)], 'outside.jpg': [(1, 100, 2, 10, 20)]}  # of 64x48 pixels
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, images)
    found = find_detection_data(tmp_path)
    assert (len(load(found, 'train')), len(load(found, 'test'))) == (1, 2)


def test_images_that_a_list_names_twice(tmp_path):
    write_voc(tmp_path, {'a': [CAT], 'b': [CAT]}, {'trainval': ['a', 'a.jpg', 'a'], 'test': ['b']})
    data = load(find_detection_data(tmp_path), 'train')
    assert len(data) == 1 and data.findings.names == {'images that are listed again left out': ['a', 'a']}


def test_objects_below_a_least_size_are_ignored(tmp_path):
    """CAT is 20 pixels wide and high, DOG 19 by 39."""
    write_voc(tmp_path, {'a': [CAT, DOG], 'b': [CAT]}, {'trainval': ['a'], 'test': ['b']})
    for least, flags in ((19, [0, 0]), (20, [0, 1])):
        (info,) = load(find_detection_data(tmp_path), 'train', filter_cfg={'bbox_min_size': least})
        assert [item['ignore_flag'] for item in info['instances']] == flags
