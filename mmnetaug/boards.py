"""What ``mmnetaug fit`` knows of microcontrollers, and what it tries on them."""

from mmnetaug.config_files import did_you_mean
from mmnetaug.errors import InputError

# Board -> bytes of SRAM and of flash.
BOARDS = {
    'STM32F746': (320 << 10, 1 << 20),
    'STM32H743': (512 << 10, 2 << 20),
    'nRF52840': (256 << 10, 1 << 20),
    'RP2040': (264 << 10, 2 << 20),  # flash beside the chip, on a Raspberry Pi Pico
}
ARCHS = ('mobilenetv2_tiny', 'mobilenetv3_w0.35', 'proxylessnas_w0.35', 'mcunet')
SIZES = (96, 128, 160, 192, 224, 256, 320)


def board_budget(name: str) -> tuple[int, int]:
    """Bytes of SRAM and of flash of a board, whose name is written in any case.

    Raises:
        InputError: a board that is not known.
    """
    known = {board.lower(): budget for board, budget in BOARDS.items()}
    if name.lower() not in known:
        raise InputError(
            f'board {name} is not known: expected one of {", ".join(BOARDS)}, or --sram and --flash, such as '
            f'--sram 512K --flash 1M{did_you_mean(name.lower(), known)}'
        )
    return known[name.lower()]
