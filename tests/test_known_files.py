"""What is known of files is used as long as they do not change, and never after."""

import hashlib
import json
import os
import threading

import cv2
import numpy as np
import pytest
from helpers import write_coco, write_voc

from mmnetaug.datasets import COCODetection, VOCDetection, coco, findings, known_files, voc
from mmnetaug.datasets.discovery import find_detection_data
from mmnetaug.datasets.known_files import HandedOn, KnownFiles
from mmnetaug.registry import DATASETS


@pytest.fixture(autouse=True)
def settled(monkeypatch, cache, tmp_path):
    """Files count as left alone at once; nothing is known at first."""
    monkeypatch.setattr(known_files, 'SETTLED_NS', 0)
    monkeypatch.setattr(known_files, 'cache_folder', lambda: tmp_path / 'cache')


def content(folder, reads, version='1'):
    """A new process, as it were, that reads files and counts."""

    def read(path):
        reads.append(path)
        with open(path, encoding='utf-8') as file:
            return file.read()

    return KnownFiles(folder, read, version)


def counted(monkeypatch, module, name):
    """Arguments of the calls of a function, which does as before."""
    calls, before = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: calls.append(args) or before(*args))
    return calls


def test_a_file_is_read_once(tmp_path):
    path, reads = tmp_path / 'a', []
    path.write_text('one')
    for _ in range(3):
        known = content(tmp_path, reads)
        assert known(str(path)) == 'one'
        known.save()
    assert len(reads) == 1
    assert content(tmp_path, reads, version='2')(str(path)) == 'one' and len(reads) == 2


def same_length(path):
    path.write_text('two')
    os.utime(path, ns=(1, 1))


def other_length_same_time(path):
    time = path.stat().st_mtime_ns
    path.write_text('four')
    os.utime(path, ns=(time, time))


def replaced(path):
    """By a file of the same length and time of content."""
    time = path.stat().st_mtime_ns
    (path.parent / 'b').write_text('two')
    os.utime(path.parent / 'b', ns=(time, time))
    os.replace(path.parent / 'b', path)


@pytest.mark.parametrize('change', [same_length, other_length_same_time, replaced])
def test_a_file_that_changed_is_read_again(change, tmp_path):
    path = tmp_path / 'a'
    path.write_text('one')
    known = content(tmp_path, [])
    assert known(str(path)) == 'one'
    known.save()
    change(path)
    assert content(tmp_path, [])(str(path)) == path.read_text() != 'one'


def test_a_file_that_was_just_written_is_not_known(tmp_path, monkeypatch):
    """It may be written again at what the file system takes for the same time."""
    monkeypatch.setattr(known_files, 'SETTLED_NS', 10**12)
    path, reads = tmp_path / 'a', []
    path.write_text('one')
    for _ in range(2):
        known = content(tmp_path, reads)
        assert known(str(path)) == 'one'
        known.save()
    assert len(reads) == 2 and not (tmp_path / 'cache').exists()


def damage(index):
    index.write_bytes(index.read_bytes().replace(b'one', b'two'))


@pytest.mark.parametrize(
    'harm',
    [
        damage,
        lambda index: index.write_bytes(index.read_bytes()[:-5]),
        lambda index: index.write_bytes(b'\xff\x00'),
        lambda index: index.write_text('a\nb'),
        lambda index: (index.unlink(), index.mkdir()),
    ],
)
def test_a_damaged_index_is_done_without(harm, tmp_path):
    path, reads = tmp_path / 'a', []
    path.write_text('one')
    known = content(tmp_path, reads)
    known(str(path))
    known.save()
    (index,) = (tmp_path / 'cache').iterdir()
    harm(index)
    known = content(tmp_path, reads)
    assert known(str(path)) == 'one' and len(reads) == 2
    known.save()
    assert [place.name for place in (tmp_path / 'cache').iterdir()] == [index.name]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / 'cache').write_text('a file')
    path, reads = tmp_path / 'a', []
    path.write_text('one')
    for _ in range(2):
        known = content(tmp_path, reads)
        assert known(str(path)) == 'one'
        known.save()
    assert len(reads) == 2

    def homeless():
        raise RuntimeError('no home')

    monkeypatch.setattr(known_files, 'cache_folder', homeless)
    assert content(tmp_path, reads)(str(path)) == 'one'


def test_where_it_is_kept(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv('XDG_CACHE_HOME', '/somewhere')
    assert str(known_files.cache_folder()) == '/somewhere/mmnetaug'
    monkeypatch.setenv('HOME', '/home/me')
    for unset in ('', 'relative'):
        monkeypatch.setenv('XDG_CACHE_HOME', unset)
        assert str(known_files.cache_folder()) == '/home/me/.cache/mmnetaug'


def test_several_write_one_index(tmp_path):
    """The index is whole at any time, and what one has found is not lost to the one that saves after it."""
    for name in 'abcdefgh':
        (tmp_path / name).write_text(name)
    both = [content(tmp_path, []) for _ in range(2)]
    for known, name in zip(both, 'ab'):
        known(str(tmp_path / name))
        known.save()
    reads = []
    later = content(tmp_path, reads)
    assert [later(str(tmp_path / name)) for name in 'ab'] == ['a', 'b'] and not reads

    def work(name):
        for _ in range(20):
            known = content(tmp_path, [])
            assert known(str(tmp_path / name)) == name
            known.save()

    threads = [threading.Thread(target=work, args=[name]) for name in 'cdefgh']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (index,) = (tmp_path / 'cache').iterdir()
    digest, *lines = index.read_text().split('\n')
    assert digest == hashlib.sha256('\n'.join(lines).encode()).hexdigest()
    assert {str(tmp_path / name) for name in 'ab'} <= {json.loads(line.split('\t')[0]) for line in lines}


def test_what_is_handed_on(tmp_path):
    reads = []
    files = HandedOn(lambda path: reads.append(path) or path.read_text())
    path = tmp_path / 'a'
    path.write_text('one')
    assert files.look(path) == files.take(path) == 'one' and len(reads) == 1
    assert files.take(path) == 'one' and len(reads) == 2  # it is kept no longer
    files.look(path)
    path.write_text('three')
    assert files.take(path) == 'three'


BOXES = [('cat', 11, 11, 31, 31, 0), ('dog', 30, 20, 60, 44, 1)]


def voc_data(found, **options):
    return DATASETS.build({**found['test'], 'metainfo': {'classes': found['classes']}, 'test_mode': True, **options})


def test_a_second_start_in_voc_layout(tmp_path, monkeypatch):
    """Nothing is parsed twice, and nothing decoded that was before; a truncated image is found all the same."""
    root = tmp_path / 'voc'
    write_voc(root, dict.fromkeys('abc', BOXES), {'train': ['a'], 'test': ['b', 'c']})
    parsed, decoded = counted(monkeypatch, voc.ElementTree, 'parse'), counted(monkeypatch, findings, 'stored_size')
    infos = []
    for _ in range(2):
        dataset = voc_data(find_detection_data(root))
        assert isinstance(dataset, VOCDetection)
        infos.append([dataset.get_data_info(index) for index in range(len(dataset))])
    assert infos[0] == infos[1] and len(infos[0]) == 2
    assert [each['bbox'] for each in infos[0][0]['instances']] == [[10, 10, 30, 30], [29, 19, 59, 43]]
    assert len(parsed) == 3 and len(decoded) == 2
    image = root / 'JPEGImages' / 'b.jpg'
    image.write_bytes(image.read_bytes()[:-60])
    assert len(voc_data(find_detection_data(root))) == 1
    voc_data(find_detection_data(root), decode=False)  # decoding finds more than sizes do: these are kept apart
    assert len(voc_data(find_detection_data(root))) == 1


def test_an_interrupted_start_keeps_what_it_has_seen(tmp_path, monkeypatch):
    write_voc(tmp_path / 'voc', dict.fromkeys('abcd', BOXES), {'train': ['a'], 'test': ['b', 'c', 'd']})
    found, decoded, look = find_detection_data(tmp_path / 'voc'), [], findings.stored_size
    threads = {*threading.enumerate()}

    def interrupted(path, decode):
        decoded.append(path.name)
        if len(decoded) == 3:
            raise KeyboardInterrupt
        return look(path, decode)

    monkeypatch.setattr(findings, 'stored_size', interrupted)
    with pytest.raises(KeyboardInterrupt):
        voc_data(found)
    assert len(voc_data(found)) == 3 and decoded == ['b.jpg', 'c.jpg', 'd.jpg', 'd.jpg']
    assert {*threading.enumerate()} <= threads, 'and no other beside processes that are forked'


def test_an_image_of_another_size(tmp_path):
    """Boxes are cut where the new image ends."""
    root = tmp_path / 'voc'
    write_voc(root, dict.fromkeys('ab', BOXES), {'train': ['a'], 'test': ['b']})
    voc_data(find_detection_data(root))
    cv2.imwrite(str(root / 'JPEGImages' / 'b.jpg'), np.zeros((20, 20, 3), np.uint8))
    info = voc_data(find_detection_data(root)).get_data_info(0)
    assert (info['width'], info['height']) == (20, 20)
    assert [each['bbox'] for each in info['instances']] == [[10, 10, 20, 20]]


def test_coco_is_parsed_once(tmp_path, monkeypatch):
    write_coco(tmp_path, 'train', {'a.jpg': [(1, 1, 1, 20, 20)]})
    write_coco(tmp_path, 'val', {'b.jpg': [(2, 1, 1, 20, 20)]})
    parsed, decoded = counted(monkeypatch, coco.json, 'loads'), counted(monkeypatch, findings, 'stored_size')
    for start in (1, 2):
        found = find_detection_data(tmp_path)
        for purpose in ('train', 'test'):
            dataset = DATASETS.build({**found[purpose], 'metainfo': {'classes': found['classes']}})
            assert isinstance(dataset, COCODetection) and len(dataset) == 1
        assert len([args for args in parsed if 'categories' in args[0]]) == 2 * start
    assert len(decoded) == 2
