"""Boxes of other detectors."""

import json
import subprocess
import sys

import pytest
from helpers import ROOT, write_coco, write_image
from mmengine.registry import DefaultScope, init_default_scope

from mmnetaug import InputError
from mmnetaug.apis.boxes import evaluate_boxes, read_boxes

CAT, DOG = [11, 11, 31, 31], [30, 20, 60, 44]


def test_boxes_on_data_in_voc_layout(voc, tmp_path):
    """Of the cats both are found, after a wrong box: the precision is two thirds at best, up to the full recall. No
    dog is found, and a bird is nobody's."""
    boxes = {
        'e.jpg': [[*CAT, 0.9, 'cat'], [*CAT, 0.8, 'bird']],
        'f.jpg': [[0, 0, 9, 9, 0.95, 'cat'], [*CAT, 0.8, 'cat']],
    }
    init_default_scope('mmengine')
    result = evaluate_boxes(boxes, str(voc), ['cat', 'dog'])
    assert DefaultScope.get_current_instance().scope_name == 'mmengine', "the program's"
    assert result['class_AP50'] == pytest.approx({'cat': 2 / 3, 'dog': 0}) and result['AP50_area'] == pytest.approx(
        1 / 3
    )
    assert (result['images'], result['boxes']) == (2, 3)
    assert evaluate_boxes(boxes, str(voc), ['cat'])['AP50_area'] == pytest.approx(2 / 3)
    path, out = tmp_path / 'boxes.json', tmp_path / 'result.json'
    path.write_text(json.dumps(boxes))
    command = [sys.executable, 'tools/evaluate_boxes.py', path, '--data-root', voc, '--classes', 'cat', '--out', out]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert 'AP50_area 0.667' in done.stdout and json.loads(out.read_text())['AP50_area'] == pytest.approx(2 / 3)


def test_boxes_on_data_in_coco_layout(tmp_path):
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, {'a.jpg': [(1, 10, 10, 20, 20)], 'b.jpg': []})
    result = evaluate_boxes({'a.jpg': [[10, 10, 30, 30, 0.5, 'cat']], 'b.jpg': []}, str(tmp_path))
    assert [result['AP50'], result['AP']] == pytest.approx([1, 1], abs=1e-3)  # no dog anywhere


def test_a_box_of_yolo_has_no_pixel_more(tmp_path):
    """8x8 pixels found 3 pixels aside: an IoU of 40 / 88, or 54 / 108 with Pascal VOC's whole pixels."""
    for split in ('train', 'val'):
        write_image(tmp_path / f'images/{split}/a.jpg')  # 64x48
        (tmp_path / 'labels' / split).mkdir(parents=True)
        (tmp_path / f'labels/{split}/a.txt').write_text(f'0 {16 / 64} {16 / 48} {8 / 64} {8 / 48}\n')
    (tmp_path / 'data.yaml').write_text('names: [cat]\ntrain: images/train\nval: images/val\n')
    boxes = {'a.jpg': [[15, 12, 23, 20, 0.5, 'cat']]}
    assert evaluate_boxes(boxes, str(tmp_path))['AP50_area'] == 0
    boxes['a.jpg'][0][:4] = [14, 12, 22, 20]  # 48 / 80
    assert evaluate_boxes(boxes, str(tmp_path))['AP50_area'] == 1


def test_objects_of_coco_thinner_than_a_pixel_are_missed_too(tmp_path):
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, {'a.jpg': [(1, 10, 10, 20, 20), (1, 40, 10, 0.9, 20)]})
    found = evaluate_boxes({'a.jpg': [[10, 10, 30, 30, 0.5, 'cat']]}, str(tmp_path))['AP50']
    assert found == pytest.approx(51 / 101)  # recall ends at a half


def test_an_image_of_coco_with_two_ids(tmp_path):
    """The cat is in its first entry, the dog in its second, the sheep in both."""
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, {'a.jpg': [(1, 10, 10, 20, 20), (3, 5, 5, 9, 9)]}, ('cat', 'dog', 'sheep'))
        path = tmp_path / f'annotations/instances_{split}.json'
        content = json.loads(path.read_text())
        content['images'].append({**content['images'][0], 'id': 2})
        for number, (category, box) in enumerate(((2, [40, 20, 20, 20]), (3, [5, 5, 9, 9])), 3):
            content['annotations'].append({'id': number, 'image_id': 2, 'category_id': category, 'bbox': box})
        path.write_text(json.dumps(content))
    boxes = {'a.jpg': [[10, 10, 30, 30, 0.5, 'cat'], [40, 20, 60, 40, 0.5, 'dog'], [5, 5, 14, 14, 0.5, 'sheep']]}
    result = evaluate_boxes(boxes, str(tmp_path))
    assert result['images'] == 1 and result['AP50'] == pytest.approx(1)


def test_classes_keep_their_figures_whatever_their_ids(tmp_path):
    """The dog has the lower id and is missed."""
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, {'a.jpg': [(2, 10, 10, 20, 20), (1, 40, 20, 20, 20)]}, ('dog', 'cat'))
    result = evaluate_boxes({'a.jpg': [[10, 10, 30, 30, 0.5, 'cat']]}, str(tmp_path), ['cat', 'dog'])
    assert result['class_AP50'] == pytest.approx({'cat': 1, 'dog': 0})


def test_a_json_that_is_too_deep(tmp_path):
    (tmp_path / 'boxes.json').write_text('[' * 100_000)
    with pytest.raises(InputError, match=r'boxes\.json cannot be read .*expected a JSON file'):
        read_boxes(tmp_path / 'boxes.json')


def test_images_of_one_name_in_several_folders(tmp_path):
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path, split, {'one/1.jpg': [(1, 10, 10, 20, 20)], 'two/1.jpg': [(1, 30, 20, 20, 20)]})
    one, two = [[10, 10, 30, 30, 0.5, 'cat']], [[30, 20, 50, 40, 0.5, 'cat']]
    whole = [str(tmp_path / f'val2017/{folder}/1.jpg') for folder in ('one', 'two')]
    for names in (('one/1.jpg', 'two/1.jpg'), ('val2017/one/1.jpg', './two/1.jpg'), whole):
        assert evaluate_boxes(dict(zip(names, (one, two))), str(tmp_path))['AP50'] == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match=r'1\.jpg is the name of 2 images in several folders: expected their folders'):
        evaluate_boxes({'1.jpg': one}, str(tmp_path))
    with pytest.raises(InputError, match=r'a/1.jpg and b/1.jpg may both be .*one/1.jpg: expected names that its path'):
        evaluate_boxes({'a/1.jpg': one, 'b/1.jpg': two}, str(tmp_path))


def test_images_outside_the_folder(tmp_path):
    images = {'a.jpg': [(1, 10, 10, 20, 20)], '../../out/b.jpg': [(1, 10, 10, 20, 20)]}
    for split in ('train2017', 'val2017'):
        write_coco(tmp_path / 'data', split, images)
    path, out = tmp_path / 'boxes.json', tmp_path / 'result.json'
    path.write_text(json.dumps({name: [[10, 10, 30, 30, 0.5, 'cat']] for name in ('a.jpg', 'b.jpg')}))
    command = [sys.executable, 'tools/evaluate_boxes.py', path, '--data-root', tmp_path / 'data', '--out', out]
    for more, number, measure in (([], 1, 0.5), (['--allow-outside'], 2, 1)):
        subprocess.run([*command, *more], check=True, cwd=ROOT)
        result = json.loads(out.read_text())
        assert result['images'] == number and result['AP50'] == pytest.approx(measure, abs=0.01)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ({'e.jpg': []}, r'1 of 2 images have no entry, first f.jpg'),
        ({'e.jpg': [[1, 2, 3, 4, 0.5]], 'f.jpg': []}, r'e.jpg has \[1, 2, 3, 4, 0.5\]: expected \[x1'),
        (
            {'e.jpg': [[1, 2, 3, 'x', 0.5, 'cat']], 'f.jpg': []},
            r'e.jpg has .*expected four sides in pixels and a score',
        ),
        ({'e.jpg': [[1, 2, 3, 4, float('nan'), 'cat']], 'f.jpg': []}, r'e.jpg has .*nan.*all finite numbers'),
        ({'e.jpg': [[1, 2, 3, 4, 10**400, 'cat']], 'f.jpg': []}, r'e.jpg has .*all finite numbers'),
        ({'e.jpg': [[1, 2, 3, 4, 0.5, ['cat']]], 'f.jpg': []}, r'e.jpg has .*expected the name of a class'),
        ({'e.jpg': [[30, 20, 10, 12, 0.5, 'cat']], 'f.jpg': []}, 'many boxes end before they begin: expected x1, y1'),
        ({'e.jpg': [[0.1, 0.1, 0.5, 0.5, 0.5, 'cat']], 'f.jpg': []}, 'hardly a side of the boxes is above 1: expected'),
        ([], r'boxes.json: expected \{"IMAGE.jpg"'),
    ],
)
def test_wrong_boxes(boxes, message, voc, tmp_path):
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(boxes))
    with pytest.raises(InputError, match=message):
        evaluate_boxes(read_boxes(path), str(voc), ['cat', 'dog'])
