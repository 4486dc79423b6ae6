"""A font that has the characters of the names to draw."""

from collections.abc import Sequence

import matplotlib
from matplotlib import font_manager, ft2font


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
