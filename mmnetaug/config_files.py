"""Where the configs are, and what their names and first lines tell, without PyTorch."""

import difflib
import runpy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmnetaug.errors import InputError

# Folder with configs and tools: an installed package carries them, as MMDetection's does; else it lies in a clone.
PACKAGE = Path(__file__).parent
ROOT = PACKAGE / '.mim' if (PACKAGE / '.mim').is_dir() else PACKAGE.parent
CONFIGS = ROOT / 'configs'
EXAMPLES = {'det': 'ssdlite_netaug_voc', 'pretrain': 'netaug_mbv2'}
BASELINE = '_baseline_voc'  # ending of the config of each head in configs/det
NETWORKS = ('mbv2_tiny', 'resnet50')  # of figures 1, 3 and 4: endings of the configs of a tiny and a large network
PAPER = ('mixup', 'autoaugment', 'dropblock')  # regularisers of the paper's figure 1
RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)  # of the figure over learning rates


class Method(NamedTuple):
    """How a method of the figures is trained.

    Attributes:
        kind: beginning of its files in configs/pretrain.
        options: of ``mmnetaug pretrain``.
        changes: KEY=VALUE changes of the config.
    """

    kind: str
    options: Sequence[str] = ()
    changes: Sequence[str] = ()


# NetAug's second loss makes the gradient of shared weights about twice as large. The first has such a gradient without
# a supernet, the second a supernet with the gradient of the baseline: both losses together weigh as one.
CONTROLS = {
    'baseline_twice': Method('baseline', changes=['model.base_weight=2.0']),
    'netaug_halved': Method('netaug', changes=['model.base_weight=0.5', 'model.alpha=0.5']),
}


def did_you_mean(name: str, known: Iterable[str], prefix: str = '') -> str:
    """'; did you mean NAME?' with the nearest of the known names behind a prefix, or nothing where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean {prefix}{nearest[0]}?' if nearest else ''


def config_names(kind: str) -> list[str]:
    """Names of the configs of a kind, 'pretrain' or 'det': their files without ``.py``."""
    return sorted(path.stem for path in (CONFIGS / kind).glob('*.py'))


def find_config(config: str | Path, kind: str) -> Path:
    """The file of a config.

    Args:
        config: path of a file, or name of one of ours, such as 'ssdlite_netaug_voc'.
        kind: 'pretrain' or 'det', the folder of ours.

    Raises:
        InputError: neither.
    """
    path, named = Path(config), CONFIGS / kind / f'{Path(config).stem}.py'
    if path.is_file():
        return path
    if str(path) in (named.stem, named.name) and named.is_file():
        return named
    known = config_names(kind)
    other, command = ('pretrain', 'pretrain') if kind == 'det' else ('det', 'train')
    if named.stem not in known and named.stem in config_names(other):
        raise InputError(
            f'{config} is a config of `mmnetaug {command}`: expected one of configs/{kind}, such as {EXAMPLES[kind]}'
        )
    meant = f'; did you mean {named.stem}?' if named.stem in known else did_you_mean(named.stem, known)
    raise InputError(
        f'no config at {config}{meant or ": expected"} {"Expected " if meant else ""}a file, or the name of one of '
        f'configs/{kind}, such as {EXAMPLES[kind]}'
    )


def is_ours(config: Path) -> bool:
    """Whether a config is one of ours, which imports no code of a user."""
    return CONFIGS.resolve() in config.resolve().parents


def is_config(text: str) -> bool:
    """Whether a file among configs and checkpoints on a command line is a config, or may be the name of one."""
    return text.endswith('.py') or not (Path(text).suffix or Path(text).exists() or Path(text).name != text)


def heads() -> list[str]:
    """Names of the heads that ``configs/det`` has, such as 'ssdlite'."""
    return [name.removesuffix(BASELINE) for name in config_names('det') if name.endswith(BASELINE)]


def regularizers() -> dict[str, tuple[dict[str, Any], str]]:
    """Name -> (configuration of its hook, what it does) of each file in ``configs/_base_/regularizers``."""
    found = {}
    for path in sorted((CONFIGS / '_base_' / 'regularizers').glob('*.py')):
        (hook,) = runpy.run_path(str(path))['custom_hooks']
        found[path.stem] = (hook, path.read_text(encoding='utf-8').splitlines()[0].lstrip('# '))
    return found


def methods() -> dict[str, Method]:
    """The methods of the figures by name, in their order, with the regularisers of ``configs/_base_/regularizers``."""
    order = sorted(regularizers(), key=lambda name: [*PAPER, name].index(name))
    return {
        'baseline': Method('baseline'),
        **{name: Method('baseline', [f'--{name}']) for name in order},
        'netaug': Method('netaug'),
        **CONTROLS,
    }
