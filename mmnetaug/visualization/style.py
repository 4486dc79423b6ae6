"""What all pictures share. Readable in black and white: series differ in marker and line, not in colour alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure  # and not pyplot, whose windows and figures are the user's

from mmnetaug.records import whole

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLORS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9']
MARKERS = ['o', 's', '^', 'D', 'v', 'P']
LINES = ['-', '--', '-.', ':', (0, (3, 1, 1, 1)), (0, (5, 1))]


def style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the series with this number."""
    again = index + index // len(COLORS)  # the same colour comes with another marker and line
    return {
        'color': COLORS[index % len(COLORS)],
        'marker': MARKERS[again % len(MARKERS)],
        'linestyle': LINES[again % len(LINES)],
    }


def save_figure(figure: Figure, *paths: str | Path) -> Path:
    """The figure as each of these files, PNG or SVG by their suffixes. Returns the first path."""
    for path in map(Path, paths):
        metadata = {'Date': None} if path.suffix.lower() == '.svg' else None  # drawn again, the file is the same
        with whole(path) as partial, matplotlib.rc_context({'svg.hashsalt': path.stem}):
            figure.savefig(partial, format=path.suffix[1:], dpi=150, bbox_inches='tight', metadata=metadata)
    return Path(paths[0])


def common_epochs(histories: Sequence[Sequence[tuple[int, float]]]) -> tuple[list[int], np.ndarray]:
    """The epochs that all seeds have, and the value of each seed there, (seeds, epochs)."""
    epochs = sorted(set.intersection(*(set(dict(history)) for history in histories)))
    return epochs, np.array([[dict(history)[epoch] for epoch in epochs] for history in histories])


def mark_every(points: Sequence[Any]) -> int:
    """Which of the points get a marker, so that a line has about ten."""
    return max(1, len(points) // 10)
