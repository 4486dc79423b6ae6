"""The one exception for mistakes that a person can mend."""

import sys
from collections.abc import Callable
from typing import Any

import torch.distributed as dist


class InputError(ValueError):
    """Wrong input: the message says what is wrong, what was expected and what to type next."""


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise :class:`InputError` unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f'{name} is {value!r}: expected a whole number of at least {least}')


def run_tool(main: Callable[[], None]) -> None:
    """Run a command-line tool; an :class:`InputError` ends it with its message alone and exit status 2."""
    try:
        main()
    except InputError as error:
        sys.stdout.flush()
        # One raised in a data loader's process arrives with the whole trace as its text.
        print(f'\nerror: {str(error).rsplit("InputError: ", 1)[-1].strip()}', file=sys.stderr)
        sys.exit(2)
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
