"""Training without a GPU."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

import cv2
import torch
import torch.distributed as dist
from mmengine.config import Config

from mmnetaug.compat.loader_workers import end_where_sending_fails
from mmnetaug.errors import InputError

# Numbers of glibc's malloc.h, and what they are where nobody sets them.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}
# Launcher -> what it leaves in the environment of each process, and the command that does.
LAUNCHERS = {
    'pytorch': ('RANK', 'torchrun --nproc-per-node N'),
    'slurm': ('SLURM_PROCID', 'srun -n N python'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun -n N python'),
}


def keep_freed_memory() -> None:
    """Let the process keep freed memory for its next tensors instead of returning it to the system.

    PyTorch's CPU allocator gives every large tensor fresh pages, and the system clears them each time: with it,
    copying 50 MB took 22 ms instead of 3. A NetAug step became twice as fast, a plain one 1.3 times. Does
    nothing where the C library is not glibc. :func:`return_freed_memory` ends it.
    """
    if libc := _glibc():
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """Return to the system what :func:`keep_freed_memory` has kept, and what is freed from now on, as far as it lies at
    the end of the heap or outside of it."""
    if libc := _glibc():
        for parameter, value in DEFAULTS.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is that one."""
    libc = ctypes.CDLL(None) if sys.platform.startswith('linux') else None
    return libc if hasattr(libc, 'mallopt') and hasattr(libc, 'gnu_get_libc_version') else None


def prepare_distributed(config: Config) -> None:
    """Make several processes possible where there is no GPU; otherwise do nothing but look for the launcher.

    MMEngine 0.10 starts a process group only by selecting a GPU first and wraps the model for one; deletable
    when its ``init_dist`` and ``wrap_model`` work on a CPU.

    Args:
        config: of a runner about to be built; its ``model_wrapper_cfg`` is set.

    Raises:
        InputError: the launcher that the config names did not start this process.
    """
    variable, command = LAUNCHERS.get(config.get('launcher', 'none'), (None, ''))
    if variable and variable not in os.environ and not dist.is_initialized():
        raise InputError(
            f'--launcher {config.launcher}: no {variable} in the environment. Start it with '
            f'`{command} -m mmnetaug ... --launcher {config.launcher}`, or give --launcher none for one process'
        )
    if config.get('launcher', 'none') == 'mpi' and 'OMPI_COMM_WORLD_LOCAL_RANK' in os.environ:
        os.environ.setdefault('LOCAL_RANK', os.environ['OMPI_COMM_WORLD_LOCAL_RANK'])  # MMEngine sets the others
    if torch.cuda.is_available() or config.get('launcher', 'none') == 'none':
        return
    if not dist.is_initialized():
        if config.launcher != 'pytorch':
            raise InputError(
                f'--launcher {config.launcher} needs a GPU for each process, and PyTorch sees none here: without GPUs '
                'take torchrun and --launcher pytorch'
            )
        dist.init_process_group('gloo')
    config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)


def start_worker(then: Callable[[int], None] | None, opencv_threads: int, number: int) -> None:
    """Prepare process ``number`` of a data loader, which is another program where it is not forked: the one that trains
    heeds Ctrl-C and ends it, OpenCV's threads are as there, and it ends where it cannot hand over what it loads. Then
    call ``then``, if any, with the number."""
    end_where_sending_fails()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cv2.getNumThreads() != opencv_threads:  # forked, OpenCV would wait for threads that are not there
        cv2.setNumThreads(opencv_threads)
    if then:
        then(number)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
