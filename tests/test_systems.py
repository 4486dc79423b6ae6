"""Other systems than Linux, as far as they can be told from here: what Windows lacks is taken away."""

import contextlib
import errno
import fcntl
import io
import ntpath
import os
import pickle
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, write_voc

from mmnetaug import InputError
from mmnetaug.cli.run import main
from mmnetaug.datasets import images, voc
from mmnetaug.engine.cpu import start_worker
from mmnetaug.engine.work_dir import locked

# No locks, hang-ups and broken pipes of POSIX, and no fsync of what is open to read.
WINDOWS = """
import builtins, errno, fcntl, os, select, signal, sys
import mmnetaug
import mmdet.apis, mmdet.models
assert 'mmnetaug.locks' not in sys.modules
imported, fsync = builtins.__import__, os.fsync
def without(name, globals=None, *more, **options):
    if name == 'fcntl' and (globals or {}).get('__name__', '').startswith('mmnetaug'):
        raise ImportError(name)
    return imported(name, globals, *more, **options)
def writable(fd):
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, 'as _commit')
    fsync(fd)
class msvcrt:
    LK_NBLCK = 2
    locking = lambda *arguments: None
builtins.__import__, os.fsync, sys.modules['msvcrt'] = without, writable, msvcrt
del signal.SIGHUP, signal.SIGPIPE, os.killpg, os.sched_getaffinity, select.poll
from mmnetaug.cli.run import main
main(sys.argv[1:])
"""


def test_training_where_posix_is_missing(tmp_path):
    """With processes that are started anew, detection mixup, and a class that the system's encoding lacks."""
    boxes = {name: [('猫', 11, 11, 31, 31, 0)] for name in 'abcdef'}
    write_voc(tmp_path / 'voc', boxes, {'trainval': list('abcd'), 'test': ['e', 'f']})
    options = ['train', 'ssdlite_baseline_voc', '--data-root', 'voc', '--pretrained', 'none', '--size', '96', '--mixup']
    options += ['--arch', 'mobilenetv2_w0.1', '--batch-size', '2', '--epochs', '1', '--workers', '1']
    options += ['--work-dir', 'run', '--cfg-options', 'env_cfg.mp_cfg.mp_start_method=spawn']
    locale = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, '-X', 'utf8=0', '-c', WINDOWS, *options],
        cwd=tmp_path,
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and 'Traceback' not in done.stderr, done.stderr
    run = tmp_path / 'run'
    assert (run / 'export.pth').is_file() and torch.load(run / 'epoch_1.pth')['meta']['epoch'] == 1
    (log,) = run.glob('*/*.log')
    assert '猫' in log.read_text(encoding='utf-8')


@pytest.mark.parametrize(('error', 'refused'), [(errno.EAGAIN, True), (errno.ENOLCK, False), (errno.ENOSYS, False)])
def test_file_systems_without_locks(tmp_path, monkeypatch, error, refused):
    def fails(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, 'lockf', fails)
    expected = pytest.raises(InputError, match='another run is at work') if refused else contextlib.nullcontext()
    with expected, locked(tmp_path):
        pass


def test_processes_of_loaders_leave_ctrl_c_to_the_run():
    threads, called = cv2.getNumThreads(), []
    try:
        start_worker(called.append, 2, 7)
        assert called == [7] and cv2.getNumThreads() == 2 and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        cv2.setNumThreads(threads)
    pickle.dumps(start_worker)


def test_names_that_opencv_does_not_open(tmp_path, monkeypatch):
    """On Windows OpenCV takes paths to be in the code page of the system."""
    ascii_only = lambda function: lambda path, *more: function(path, *more) if path.isascii() else None  # noqa: E731
    path = tmp_path / 'Müller.png'
    path.write_bytes(cv2.imencode('.png', np.full((5, 7, 3), 9, 'uint8'))[1].tobytes())
    monkeypatch.setattr(cv2, 'imread', ascii_only(cv2.imread))
    monkeypatch.setattr(cv2, 'haveImageReader', ascii_only(cv2.haveImageReader))
    monkeypatch.setattr(images, 'os', SimpleNamespace(**{**vars(os), 'name': 'nt'}))
    assert images.image_size(path, decode=True) == (7, 5)
    assert images.read_image(path).shape == (5, 7, 3)


def test_images_in_folders_by_the_names_in_lists(monkeypatch):
    monkeypatch.setattr(voc, 'os', SimpleNamespace(path=ntpath, sep='\\'))
    known = voc._by_name(r'C:\data\JPEGImages', [r'C:\data\JPEGImages\sub\a.jpg'])
    assert [voc._known_name(line, known) for line in ('sub/a', 'sub\\a.jpg')] == ['sub/a'] * 2


def test_a_console_that_is_no_file():
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code in (0, None) and said.getvalue().strip()
