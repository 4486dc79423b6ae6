"""Benchmarks of what comes before a training step."""

import pytest

from mmnetaug import InputError
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.image_folder import ImageFolder
from mmnetaug.evaluation.loading_speed import CLASSES, draw_data, measure_jpeg, measure_start
from mmnetaug.registry import DATASETS


def test_loading():
    result = measure_jpeg(32, (200, 150), repeats=1, images=2)
    for purpose in ('train', 'val'):
        assert all(result[f'{purpose}_{name}'] > 0 for name in ('reduced_images_per_s', 'full_images_per_s', 'ratio'))
    assert result['decoding_left'] > 0
    with pytest.raises(InputError, match='repeats is 0: expected a whole number'):
        measure_jpeg(32, (200, 150), repeats=0)
    with pytest.raises(InputError, match='layout yolo: expected one of voc, coco, folders'):
        measure_start('yolo')


@pytest.mark.parametrize('layout', ['voc', 'coco'])
def test_drawn_detection_data(layout, tmp_path):
    draw_data(tmp_path, layout, 30, 20)
    found = find_detection_data(tmp_path)
    assert found['layout'] == layout
    for purpose, count in (('train', 30), ('test', 20)):
        data = DATASETS.build({**found[purpose], 'metainfo': {'classes': found['classes']}})
        assert len(data) == count and not [name for name in data.findings.names if 'classes' not in name]


def test_drawn_class_folders(tmp_path):
    draw_data(tmp_path, 'folders', 1500, CLASSES['folders'])
    assert len(ImageFolder(tmp_path, 'train', num_classes=1000)) == 1500
    assert len(ImageFolder(tmp_path, 'val', num_classes=1000)) == 1000
