"""Real processes, really killed: SIGKILL at random moments and within a save, then every tensor is compared.

``make kill`` kills each kind of run MMNETAUG_KILLS=20 times at other moments each time; the suite does so to a few.
"""

import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from helpers import RUNS, compare_checkpoints, train_until

from mmnetaug.datasets import samplers

KILLS = int(os.environ.get('MMNETAUG_KILLS', '3'))
KINDS = RUNS if 'MMNETAUG_KILLS' in os.environ else ['netaug', 'detection mixup']
# What is imported need not be again; and its processes have no threads, whose locks a fork would keep closed.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(['mmnetaug', 'helpers'])  # in this order: see mmnetaug.compat


def train(kind, images, voc, work_dir, broken_seed):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if broken_seed:
        samplers.derived_seed = lambda *parts: random.SystemRandom().randrange(2**31)
    train_until(RUNS[kind](images, voc, work_dir), resume=(work_dir / 'last_checkpoint').exists())


class Trained:
    """A folder in which a run is started, killed and resumed, each time as a process of its own."""

    def __init__(self, kind, images, voc, work_dir, broken_seed=False):
        self.arguments = (kind, images, voc, work_dir, broken_seed)
        self.work_dir = work_dir
        self.note = work_dir / 'last_checkpoint'

    def start(self):
        child = PROCESSES.Process(target=train, args=self.arguments)
        child.start()
        return child

    def finish(self):
        child = self.start()
        child.join(600)
        assert child.exitcode == 0, 'a killed run does not go on'
        return torch.load(Path(self.note.read_text()))

    def saves(self):
        return any(name.endswith('.partial') for name in (os.listdir(self.work_dir) if self.work_dir.is_dir() else ()))

    def kill(self, seconds, within_a_save):
        """Start and kill after some seconds, or at the next save after them. Returns whether it was still alive, and
        whether a file was left half-written."""
        child, end = self.start(), time.time() + seconds
        while child.is_alive() and (time.time() < end or (within_a_save and not self.saves())):
            assert time.time() < end + 300, 'a run that neither saves nor ends'
            time.sleep(0.0005)
        alive = child.is_alive()
        child.kill()
        child.join()
        assert alive or child.exitcode == 0
        return alive, self.saves()


def killed_runs(kind, images, voc, folder, kills, rng, broken_seed=False):
    """(undisturbed, resumed) checkpoints of runs that were killed ``kills`` times together."""
    whole = Trained(kind, images, voc, folder / 'whole', broken_seed)
    start = time.time()
    expected = whole.finish()
    length, number, half_written = time.time() - start, 0, 0
    while number < kills:
        trained, alive = Trained(kind, images, voc, folder / 'killed', broken_seed), True
        while alive and number < kills:
            alive, half = trained.kill(rng.uniform(0, 0.9 * length), within_a_save=number % 3 == 2)
            number, half_written = number + alive, half_written + (alive and half)
            if trained.note.exists():
                torch.load(Path(trained.note.read_text()))
        yield expected, trained.finish()
        shutil.rmtree(folder / 'killed')
    print(f'{kind}: {number} kills, {half_written} of them left a file half-written')


@pytest.mark.parametrize('kind', KINDS)
def test_killed_processes(image_tree, voc, tmp_path, kind):
    seed = random.randrange(2**32)
    print(f'{kind}: moments of seed {seed}')
    for expected, resumed in killed_runs(kind, image_tree, voc, tmp_path, KILLS, random.Random(seed)):
        compare_checkpoints(expected, resumed)


def test_a_broken_seed_shows(image_tree, voc, tmp_path):
    """The comparison itself: where the seeds of samples do not follow from epoch and number, a killed run differs."""
    for expected, resumed in killed_runs('netaug', image_tree, voc, tmp_path, 1, random.Random(0), broken_seed=True):
        with pytest.raises(AssertionError):
            compare_checkpoints(expected, resumed)
