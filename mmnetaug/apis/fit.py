"""Which detectors fit a chip, before any is trained."""

import copy
import re
import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any

from mmdet.registry import MODELS

from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import image_size, size_options
from mmnetaug.apis.overrides import arch_options, gray_options, padding_options
from mmnetaug.apis.train import describe_detector
from mmnetaug.boards import ARCHS, SIZES
from mmnetaug.config_files import BASELINE, did_you_mean, heads
from mmnetaug.errors import InputError, check_whole
from mmnetaug.evaluation.memory import table_bytes
from mmnetaug.models.task_modules.prior_generators import Size, size_text
from mmnetaug.progress import Bar
from mmnetaug.records import table
from mmnetaug.registry import mmdet_scope

LETTERS = ('', 'K', 'M', 'G')  # each a power of 1024 for bytes, of 1000 for MACs


def parse_amount(text: str, option: str, base: int = 1024) -> int:
    """A number with K, M or G, such as '512K'.

    Args:
        text: what was typed.
        option: what it is for, for the message.
        base: of the letters: 1024 for bytes, 1000 for MACs.

    Raises:
        InputError: no such number, or none above 0.
    """
    match = re.fullmatch(r'(\d+(?:\.\d+)?)([KMG]?)B?', text.strip().upper())
    amount = int(float(match[1]) * base ** LETTERS.index(match[2])) if match else 0
    if not amount:
        raise InputError(f'{option} {text}: expected a number above 0, perhaps with K or M, such as {option} 512K')
    return amount


def parse_size(text: str) -> Size:
    """A side in pixels, or width and height such as '160x120'.

    Raises:
        InputError: neither.
    """
    sides = re.fullmatch(r'(\d+)(?:x(\d+))?', text.strip().lower())
    if not sides:
        raise InputError(f'--size {text}: expected a side in pixels, or width and height, such as --size 96 160x120')
    return int(sides[1]) if sides[2] is None else (int(sides[1]), int(sides[2]))


def fit(
    sram: int | None = None,
    flash: int | None = None,
    macs: int | None = None,
    heads_: Sequence[str] | None = None,
    archs: Sequence[str] = ARCHS,
    sizes: Sequence[Size] = SIZES,
    num_classes: int = 20,
    padding: str = 'symmetric',
    gray: bool = False,
) -> list[dict[str, Any]]:
    """What each detector needs, and which fit a budget.

    Args:
        sram: bytes that activations and tflite-micro's tables may take; None for any number.
        flash: bytes that a TFLite file may take; None for any number.
        macs: multiply-accumulates of an image at most; None for any number.
        heads_: of :func:`heads`; all of them if None.
        archs: networks, see :func:`~mmnetaug.models.networks.build_network`.
        sizes: of the images in pixels, as in :func:`~mmnetaug.apis.image_sizes.size_options`.
        num_classes: of objects.
        padding: of the networks' convolutions of stride 2, see
            :func:`~mmnetaug.models.networks.build_network`.
        gray: images of one channel.

    Returns:
        One row a detector, those with most MACs first: ``head``, ``arch``, ``size``, what
        :func:`~mmnetaug.apis.train.describe_detector` tells, ``sram`` and ``flash`` (bytes: activations and weights,
        each with :func:`~mmnetaug.evaluation.memory.table_bytes`), and ``fits``.

    Raises:
        InputError: no budget, an unknown head or network, a wrong size, or nothing that fits (what comes closest).
    """
    budgets = {'sram': sram, 'flash': flash, 'macs': macs}
    budgets = {name: budget for name, budget in budgets.items() if budget is not None}
    if not budgets:
        raise InputError('no budget: expected a --board, or --sram, --flash or --macs, such as --sram 512K --flash 1M')
    for name, value in [*budgets.items(), ('number of classes', num_classes)]:
        check_whole(name, value, 1)
    known = heads()
    wanted = known if heads_ is None else list(heads_)
    if unknown := [head for head in wanted if head not in known]:
        raise InputError(
            f'head {", ".join(unknown)} is not known: expected one of {", ".join(known)}'
            f'{did_you_mean(unknown[0], known)}'
        )
    if not (wanted and archs and sizes):
        raise InputError('nothing to try: expected at least one head, one network and one size')
    rows, built = [], {}
    configs = {head: read_config(f'{head}{BASELINE}', 'det') for head in wanted}
    for head, arch, size in Bar(list(product(wanted, archs, sizes)), unit='detector', leave=False):
        config = copy.deepcopy(configs[head])
        config.merge_from_dict({**arch_options(config, arch, pretrained=False), **size_options(config, size)})
        config.merge_from_dict({**padding_options(config, padding), **(gray_options(config) if gray else {})})
        config.merge_from_dict({'model.backbone.init_cfg': None, 'model.bbox_head.num_classes': num_classes})
        network = head, arch, str(config.model.get('neck'))  # of a head the size moves anchors alone
        if network not in built:
            with warnings.catch_warnings(), mmdet_scope():
                warnings.simplefilter('ignore', UserWarning)  # of mmdet's own names that it has given up
                built = {network: MODELS.build(config.model)}
        cost = describe_detector(built[network], image_size(config))
        in_memory, in_file = table_bytes(built[network])
        cost |= {'sram': cost['peak_memory'] + in_memory, 'flash': cost['weight_bytes'] + in_file}
        fits = all(cost[name] <= budget for name, budget in budgets.items())
        rows.append({'head': head, 'arch': arch, 'size': size, **cost, 'fits': fits})
    if not any(row['fits'] for row in rows):
        closest = min(rows, key=lambda row: max(row[name] / budget for name, budget in budgets.items()))
        raise InputError(
            f'none of {len(rows)} detectors fits: the closest is {closest["head"]} on {closest["arch"]} at '
            f'{size_text(closest["size"])} px, which needs {_amounts(closest)}. Give a larger budget, or others to '
            'try, such as --arch mobilenetv3_w0.1 --size 96 --padding tf'
        )
    return sorted(rows, key=lambda row: row['macs'], reverse=True)


def _amounts(row: dict[str, Any]) -> str:
    return f'{row["sram"] / 1024:.0f}K of SRAM, {row["flash"] / 1024:.0f}K of flash and {row["macs"] / 1e6:.1f}M MACs'


def fit_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of :func:`fit` that fit, as a Markdown table."""
    cells = []
    for row in (row for row in rows if row['fits']):
        sram, flash = (f'{row[name] / 1024:.0f}' for name in ('sram', 'flash'))
        cells.append([row['head'], row['arch'], size_text(row['size']), f'{row["macs"] / 1e6:.1f}', sram, flash])
    return '\n'.join(table(['head', 'network', 'pixels', 'million MACs', 'KB of SRAM', 'KB of flash'], cells)) + '\n'
