"""Mutated annotations, lists and checkpoints: a reader refuses them with an InputError, or reads what is left.

``make fuzz`` tries MMNETAUG_FUZZ=20000 inputs for each reader, other ones each time, and prints how many were refused.
"""

import copy
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import CAT, DOG, detector_config, write_coco, write_image, write_voc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger

import mmnetaug
from mmnetaug import InputError
from mmnetaug.checkpoint import load_network, read_checkpoint, read_detector, write_export
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.findings import Findings
from mmnetaug.engine.hooks.export_hook import KEPT, _without
from mmnetaug.evaluation.metrics import COCOAveragePrecision
from mmnetaug.registry import DATASETS

INPUTS = int(os.environ.get('MMNETAUG_FUZZ', '200'))
COUNTS = Counter()
fuzz = settings(
    max_examples=INPUTS,
    derandomize='MMNETAUG_FUZZ' not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ODD = [None, True, False, -1, 0, 1, 2, 0.5, -0.0, 1e308, float('nan'), float('inf'), 2**63, 10**400]
ODD += ['', ' ', '1', 'cat', '../a.jpg', '/', '\x00', '\ud800', '猫', 'a' * 300]
ODD += [[], {}, [[]], [None], {'id': 1}, [1, 2, 3, 4], ['a', 'b']]
TOKENS = [b'0', b'-1', b'1e999', b'nan', b'null', b'e', b'\x00', b'\xff', b'\xef\xbb\xbf', b'\xed\xa0\x80', b'\n']
TOKENS += [b'\r', b' ', b'<', b'>', b'/', b'"', b'[', b'}', b':', b'- ', b'..', b'&a;', b'<object>', b'</object>']
TOKENS += [b'<!DOCTYPE a [<!ENTITY a "a">]>', b'a' * 300]


@st.composite
def mutated(draw, seed):
    """Bytes with one to six pieces of ``seed`` replaced, removed, repeated or cut off."""
    data = seed
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.sampled_from([0, 1, 2, 4, 9, 40, 400])), len(data))
        piece = draw(
            st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4), st.just(data[start:end] * 2), st.just(b''))
        )
        data = data[:start] + piece + data[end:]
    return data


def places(value, path=()):
    """The path of every part of a nested value."""
    yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(below, (*path, key))


@st.composite
def rebuilt(draw, seed):
    """A nested value with one to four parts replaced, removed or doubled."""
    content = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(content))[1:]
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        parent = content
        for key in path:
            parent = parent[key]
        what = draw(st.sampled_from(['replace', 'replace', 'remove', 'double']))
        if what == 'replace':
            parent[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif what == 'remove':
            del parent[last]
        elif isinstance(parent, list):
            parent.insert(last, copy.deepcopy(parent[last]))
    return content


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('fuzz')


@pytest.fixture(autouse=True)
def readable_reports(monkeypatch):
    """Reports are not printed, but could be."""
    monkeypatch.setattr(Findings, 'report', lambda self, place: '\n'.join(self.lines()).encode())
    monkeypatch.setattr(MMLogger, 'callHandlers', lambda self, record: record.getMessage().encode())


@pytest.fixture(scope='module', autouse=True)
def say_counts():
    yield
    for reader in sorted({reader for reader, _ in COUNTS}):
        read, refused = COUNTS[reader, 'read'], COUNTS[reader, 'refused']
        print(f'{reader}: {read + refused} inputs, {refused} of them refused')


def attempt(reader, read):
    """Only an InputError that can be printed may come of it."""
    try:
        read()
        COUNTS[reader, 'read'] += 1
    except InputError as error:
        str(error).encode('utf-8', 'backslashreplace')
        COUNTS[reader, 'refused'] += 1


def load(root):
    found = find_detection_data(root)
    for purpose in ('train', 'test'):
        options = {'pipeline': [], 'metainfo': {'classes': found['classes']}, 'serialize_data': False}
        options.update(test_mode=purpose == 'test', filter_cfg={'filter_empty_gt': purpose == 'train'}, decode=False)
        data = DATASETS.build({**found[purpose], **options})
        for info in data.data_list:
            for item in info['instances']:
                x1, y1, x2, y2 = item['bbox']
                assert 0 <= x1 < x2 <= info['width'] and 0 <= y1 < y2 <= info['height']
                assert 0 <= item['bbox_label'] < len(found['classes'])
    return found, data


@pytest.fixture(scope='module')
def voc_folder(folder):
    write_voc(folder / 'voc', {'a': [CAT, DOG], 'b': [CAT]}, {'trainval': ['a', 'b'], 'test': ['b']})
    return folder / 'voc'


def test_voc_xml(voc_folder):
    path = voc_folder / 'Annotations/a.xml'
    seed = path.read_bytes()

    @fuzz
    @given(mutated(seed))
    def check(data):
        path.write_bytes(data)
        attempt('VOC XML', lambda: load(voc_folder))

    check()
    path.write_bytes(seed)


def test_lists(voc_folder):
    path = voc_folder / 'ImageSets/Main/trainval.txt'
    seed = path.read_bytes()

    @fuzz
    @given(mutated(b'a\nb.jpg\nJPEGImages/a.jpg 1\n\nc  -1\n'))
    def check(data):
        path.write_bytes(data)
        attempt('lists', lambda: load(voc_folder))

    check()
    path.write_bytes(seed)


@pytest.fixture(scope='module')
def coco_folder(folder):
    root = folder / 'coco'
    write_coco(root, 'train2017', {'a.jpg': [(1, 1, 2, 10, 20), (2, 30, 20, 20, 20)], 'b.jpg': [(2, 5, 5, 30, 30)]})
    write_coco(root, 'val2017', {'a.jpg': [(1, 1, 2, 10, 20), (2, 30, 20, 20, 20)], 'b.jpg': [(2, 5, 5, 30, 30)]})
    return root


def coco_ap(root):
    found, data = load(root)
    metric = COCOAveragePrecision(str(Path(found['test']['data_root']) / found['test']['ann_file']))
    metric.dataset_meta = {'classes': found['classes']}
    boxes = torch.tensor([[1.0, 2.0, 11.0, 22.0]])
    instances = {'bboxes': boxes, 'scores': torch.tensor([0.9]), 'labels': torch.tensor([0])}
    metric.process(None, [{'img_id': data.data_list[0]['img_id'], 'pred_instances': instances}])
    metric.compute_metrics(metric.results)


@pytest.mark.parametrize('by', ['bytes', 'parts'])
def test_coco_json(coco_folder, by):
    path = coco_folder / 'annotations/instances_val2017.json'
    seed = path.read_bytes()
    inputs = mutated(seed) if by == 'bytes' else rebuilt(json.loads(seed)).map(lambda part: json.dumps(part).encode())

    @fuzz
    @given(inputs)
    def check(data):
        path.write_bytes(data)
        attempt(f'COCO JSON, mutated by {by}', lambda: coco_ap(coco_folder))

    check()
    path.write_bytes(seed)


@pytest.mark.parametrize('file', ['data.yaml', 'labels/train/a.txt', 'val.txt'])
def test_yolo(folder, file):
    root = folder / 'yolo'
    seeds = {
        'data.yaml': b'path: .\nnc: 2\nnames:\n  0: cat\n  1: dog\ntrain: images/train\nval: val.txt\n',
        'labels/train/a.txt': b'0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.75 0.25 0.75 0.75\n',
        'labels/val/b.txt': b'1 0.5 0.5 0.25 0.5\n',
        'val.txt': b'./images/val/b.jpg\nimages/val/b.jpg\n',
    }
    for name, seed in seeds.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(seed)
    write_image(root / 'images/train/a.jpg')
    write_image(root / 'images/val/b.jpg')

    @fuzz
    @given(mutated(seeds[file]))
    def check(data):
        (root / file).write_bytes(data)
        attempt(f'YOLO {file}', lambda: load(root))

    check()


def export_of(voc_folder, path):
    config = detector_config(voc_folder, path.parent, 'ssdlite_baseline_voc').to_dict()
    config = {key: config[key] for key in KEPT}
    config['model'] = _without(config['model'], 'init_cfg')
    meta = {'config': config, 'classes': ['cat', 'dog'], 'arch': 'mobilenetv2_w0.1', 'seed': 0}
    network = mmnetaug.build_network('mobilenetv2_w0.1', 2)
    write_export(path, dict(list(network.state_dict().items())[:12]), meta)
    return network


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
def test_checkpoints(voc_folder, folder, kind):
    path = folder / f'export.{"safetensors" if kind == "safetensors" else "pth"}'
    network = export_of(voc_folder, path)
    seed = path.read_bytes()
    if kind == 'legacy':
        file = io.BytesIO()
        torch.save(torch.load(path), file, _use_new_zipfile_serialization=False)
        seed = file.getvalue()

    @fuzz
    @given(mutated(seed))
    def check(data):
        path.write_bytes(data)
        attempt(f'checkpoints, {kind}', lambda: read_detector(path))
        attempt(f'checkpoints, {kind}, as weights', lambda: mmnetaug.load_weights(network, path))

    check()


@pytest.mark.parametrize('place', ['meta', 'mmnetaug'])
def test_what_a_checkpoint_says(voc_folder, folder, place):
    path = folder / 'parts.pth'
    network = export_of(voc_folder, path)
    meta = json.loads(json.dumps(read_checkpoint(path)['meta']))

    @fuzz
    @given(rebuilt({place: meta, 'state_dict': {'stem.0.conv.weight': 1, 'network.a': [2]}, 'message_hub': {}}))
    def check(content):
        torch.save(content, path)
        attempt('parts of checkpoints', lambda: read_detector(path))
        attempt('parts of checkpoints, as weights', lambda: mmnetaug.load_weights(network, path))
        attempt('parts of checkpoints, as a network', lambda: load_network(path, 2))

    check()
