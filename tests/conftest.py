"""What several tests need."""

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

import mmnetaug  # noqa: F401, before any test imports mmdet
from mmnetaug.datasets import known_files

SHARED = Path(os.environ.get('MMNETAUG_SHARED', '../shared'))


@pytest.fixture(scope='session')
def shared():
    """Optional folder of reference checkpoints and data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f'no reference data at {SHARED} (set MMNETAUG_SHARED)')
    return SHARED.resolve()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A folder of its own for what is known of files, instead of the user's."""
    folder = tmp_path_factory.getbasetemp() / 'cache'
    monkeypatch.setattr(known_files, 'cache_folder', lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Servers of tests are on this machine."""
    for name in ('no_proxy', 'NO_PROXY'):
        monkeypatch.setenv(name, '127.0.0.1,localhost')


@pytest.fixture(autouse=True)
def signals():
    """Given back where a test ends a run halfway: with a handler of Python a pool of a later test may wait for ever."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def image_tree(tmp_path):
    """A tree of two easily told classes: train/{dark,light}/*.png, 24 images of 32x32 each, and val with 8."""
    rng = np.random.default_rng(0)
    for split, count in [('train', 24), ('val', 8)]:
        for name, level in [('dark', 40), ('light', 200)]:
            folder = tmp_path / 'images' / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = np.clip(rng.normal(level, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return tmp_path / 'images'


@pytest.fixture
def voc(tmp_path):
    """A folder in VOC layout: four images to train on and two to test on, with a cat and a dog each."""
    from helpers import write_voc

    images = {name: [('cat', 11, 11, 31, 31, 0), ('dog', 30, 20, 60, 44, 0)] for name in 'abcdef'}
    write_voc(tmp_path / 'voc', images, {'trainval': list('abcd'), 'test': ['e', 'f']})
    return tmp_path / 'voc'
