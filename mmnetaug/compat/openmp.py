"""Threads of OpenMP that sleep while they wait for each other.

By default they wait busily, some milliseconds long. On cores that other processes use too, a thread then waits for one
that does not run because of waiting threads: with two threads the description of a detector took 6.5 s, with this
0.11 s.

Delete when OpenMP's libraries notice that cores are shared.
"""

import os

SETTINGS = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def wait_passively() -> None:
    """Set OpenMP's waiting to passive unless the environment says how to wait; of use before PyTorch is imported."""
    if not any(name in os.environ for name in SETTINGS):
        os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
