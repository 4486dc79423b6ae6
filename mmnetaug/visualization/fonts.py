"""A font that has the characters of the names to draw."""

import logging
from collections.abc import Sequence

import matplotlib
from matplotlib import font_manager, ft2font
from mmengine.logging import print_log


def choose_font(names: Sequence[str]) -> list[str]:
    """Have matplotlib draw with a font that has all characters of ``names``, of those that are installed.

    Returns:
        The names that no font found has all characters of; empty if the font is well.
    """
    default = font_manager.findfont(font_manager.FontProperties(family=['sans-serif']))
    paths = dict.fromkeys([default, *sorted(font.fname for font in font_manager.fontManager.ttflist)])
    best, fewest = default, list(names)
    for path in paths:
        if 'LastResort' in path:  # has a box for every character
            continue
        try:
            known = ft2font.FT2Font(path).get_charmap().keys()
        except (OSError, RuntimeError):
            continue
        missing = [name for name in names if not {ord(sign) for sign in name} <= known]
        if len(missing) < len(fewest):
            fewest, best = missing, path
        if not missing:
            break
    if best != default:
        family = font_manager.FontProperties(fname=best).get_name()
        matplotlib.rcParams['font.sans-serif'] = [family, *matplotlib.rcParams['font.sans-serif']]
    return fewest


def drawable_names(classes: Sequence[str]) -> list[str]:
    """Names of classes, or their numbers where no installed font has their characters, which is said."""
    missing = choose_font(classes)
    names = [f'class {label}' if name in missing else name for label, name in enumerate(classes)]
    if missing:
        numbers = ', '.join(f'{number} = {name}' for number, name in zip(names, classes) if name in missing)
        print_log(
            f'no installed font has the characters of all class names: {numbers} in the pictures. A font that has them '
            '(such as Noto Sans CJK), once installed, is used',
            'current',
            logging.WARNING,
        )
    return names


def literal(name: str) -> str:
    """A name that matplotlib draws as it is: dollars enclose a formula, and legends leave out what begins with _."""
    return ('\u00a0' if name.startswith('_') else '') + name.replace('$', r'\$')
