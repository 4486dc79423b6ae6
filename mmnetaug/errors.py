"""The one exception for mistakes that a person can mend."""

import sys
from collections.abc import Callable

import torch.distributed as dist


class InputError(ValueError):
    """Wrong input: the message says what is wrong, what was expected and what to type next."""


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
