"""Where the configs are, and what their names and first lines tell, without PyTorch."""

import difflib
import runpy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmnetaug.errors import InputError

# Folder with configs and tools: an installed package carries them, as MMDetection's does; else it lies in a clone.
PACKAGE = Path(__file__).parent
ROOT = PACKAGE / '.mim' if (PACKAGE / '.mim').is_dir() else PACKAGE.parent
CONFIGS = ROOT / 'configs'
BASELINE = '_baseline_voc'  # ending of the config of each head in configs/det
NETWORKS = ('mbv2_tiny', 'resnet50')  # of figures 1, 3 and 4: endings of the configs of a tiny and a large network
PAPER = ('mixup', 'autoaugment', 'dropblock')  # regularisers of the paper's figure 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean NAME?' with the nearest of the known names, or nothing where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean {nearest[0]}?' if nearest else ''


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
    meant = f'; did you mean {named.stem}?' if named.stem in known else did_you_mean(named.stem, known)
    raise InputError(
        f'no config at {config}{meant or ": expected"} {"Expected " if meant else ""}a file, or the name of one of '
        f'configs/{kind}, such as {"ssdlite_netaug_voc" if kind == "det" else "netaug_mbv2"}'
    )


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


def methods() -> dict[str, tuple[str, list[str]]]:
    """Method -> (beginning of its files in configs/pretrain, options of ``mmnetaug pretrain``), in figures' order.

    The regularisers are those of ``configs/_base_/regularizers`` that need no file of another run.
    """
    alone = [name for name, (hook, _) in regularizers().items() if 'checkpoint' not in hook]
    order = [*(name for name in PAPER if name in alone), *(name for name in alone if name not in PAPER)]
    return {
        'baseline': ('baseline', []),
        **{name: ('baseline', [f'--{name}']) for name in order},
        'netaug': ('netaug', []),
    }
