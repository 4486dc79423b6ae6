"""Threads of GNU's OpenMP, which PyTorch's wheels have, that wait busily for each other for a short while alone.

By default they do so for milliseconds. On cores that other processes use too, a thread then waits for one that does not
run because of waiting threads: a training step took two to four times as long. Threads that always sleep instead make
it a third longer on cores of their own, and the inference of one image four times as long.

Delete when OpenMP's libraries notice that cores are shared.
"""

import os

SETTINGS = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')
SPINS = 10_000  # some 20 microseconds


def wait_shortly() -> None:
    """Set how long OpenMP waits busily unless the environment says how to wait; of use before PyTorch is imported."""
    if not any(name in os.environ for name in SETTINGS):
        os.environ['GOMP_SPINCOUNT'] = str(SPINS)
