"""What the reports of all figures have in common: checks of what a user asks for, tables, files."""

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmnetaug.apis.config import parse_cfg_options
from mmnetaug.errors import InputError
from mmnetaug.records import RESULT_VERSION, read_record, write_json, write_text
from mmnetaug.workflow.graph import Step, runs_data, tool_step

AGAIN = 'run the command of the figure again (mmnetaug figures {figure} ...)'


def check_positive(**values: Any) -> None:
    """Raise :class:`InputError` for a value that is neither None nor above 0; names are those of the options."""
    for name, value in values.items():
        if value is not None and value <= 0:
            raise InputError(f'--{name.replace("_", "-")} {value}: expected a number above 0')


def check_options(options: Sequence[str], own: Sequence[str]) -> None:
    """Raise :class:`InputError` for KEY=VALUE changes of what the figure sets itself, ``own`` (dotted keys)."""
    for key in parse_cfg_options(options):
        if any(f'{key}.'.startswith(f'{name}.') for name in own):
            raise InputError(f'--cfg-options {key}=...: the figure sets {key} itself, see --help')


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """Seeds in order, each once."""
    ordered = sorted(set(seeds))
    if not ordered or ordered[0] < 0:
        raise InputError(f'seeds {", ".join(map(str, ordered))}: expected whole numbers from 0 on')
    return ordered


def not_measured(result: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Which of ``names`` are not there as numbers."""
    return [name for name in names if not isinstance(result.get(name), (int, float))]


def elsewhere(result: str, folders: Sequence[str]) -> Path | None:
    """The same result in one of the folders with finished runs, absolute.

    Args:
        result: ``runs/RUN/result.json``, or another JSON file of a run.
        folders: in them ``RUN/result.json``, or ``RUN.json`` (``RUN.NAME.json`` for ``NAME.json``).

    Raises:
        InputError: no such folder.
    """
    path = Path(result)
    flat = f'{path.parent.name}.json' if path.name == 'result.json' else f'{path.parent.name}.{path.name}'
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f'--finished {folder}: no such folder')
        for found in (folder / flat, folder / path.parent.name / path.name):
            if found.is_file():
                return found.resolve()
    return None


def path_of(out: Path, result: str) -> Path:
    """Where a result of a plan is, which may be outside of ``out``, and that need not be there yet."""
    return Path(os.path.normpath(out / result))


def draw_step(
    figure: str, root: Path, out: Path, results: Sequence[str], steps: Sequence[Step], pictures: Sequence[str] = ()
) -> Step:
    """The last step of a plan, whose ``results`` it needs: absolute where none of ``steps`` makes them, so that
    Snakemake looks for no rule that does.

    Raises:
        InputError: a folder with braces, which Snakemake takes for wildcards.
    """
    made = {path for step in steps for path in step.makes}
    for path in [out, *(path_of(out, result) for result in results)]:
        if re.search('[{}]', str(path)):
            raise InputError(f'{path}: expected a path without braces, which Snakemake takes for its wildcards')
    makes = [f'{figure}.{ending}' for ending in ('json', 'md', 'png', 'svg')]
    command = [root / 'tools/figures.py', 'draw', out / f'{figure}_plan.json']
    needs = [result if result in made else str(path_of(out, result)) for result in results]
    return tool_step([*makes, *pictures], command, needs)


def check_figure(figure: str, out: Path, data: Path) -> None:
    """Do not draw over a figure of other data, whose runs may lie elsewhere.

    Data that has moved is noted in ``runs/data.json`` (:func:`~mmnetaug.workflow.graph.check_data`).
    """
    try:
        its_data = json.loads((out / f'{figure}.json').read_text(encoding='utf-8'))['settings']['data']
    except (OSError, ValueError, KeyError, TypeError):
        return
    if Path(its_data).resolve() != data and str(data) not in runs_data(out).values():
        raise InputError(f'{out} holds a figure of other data, {its_data}: give another --out for {data}')


def check_same_data(result: Mapping[str, Any], path: Path, known: dict[str, Any]) -> None:
    """Do not take a result on other data for one on the data of a figure: its name does not tell.

    Args:
        result: with ``classes`` and ``train_images``, and of a detector ``test_images``, where it is that new.
        path: of its file, for messages.
        known: what was found so far, such as ``classes``; takes up the rest from ``result``.

    Raises:
        InputError: other classes or images.
    """
    for name in ('classes', 'train_images', 'test_images'):
        value = result.get(name)
        if value is None or known.setdefault(name, value) == value:
            continue
        said = f'{value} {name.replace("_", " ")}, and others have {known[name]}'
        if name == 'classes':
            said = (
                f'the classes {", ".join(map(str, value[:5]))} ..., and not {", ".join(map(str, known[name][:5]))} ...'
            )
        raise InputError(
            f'{path} has {said}: expected results on one and the same data; give another --out for other data'
        )


def forget_plan(figure: str, folder: str | Path, out: Path) -> None:
    """Have the figure's own plan draw it again in a folder that gets that of another one."""
    if out.resolve() != Path(folder).resolve():
        (out / f'{figure}_plan.json').unlink(missing_ok=True)


def read_report(
    figure: str,
    folder: str | Path,
    settings: Sequence[str],
    numbers: Callable[[dict, dict], Sequence[str]],
    methods: Callable[[dict], Collection[str]],
) -> dict[str, Any]:
    """The JSON that an earlier command left, to draw it again.

    Args:
        figure: its name, such as 'fig5'.
        folder: where it lies.
        settings: keys that its settings must have.
        numbers: settings, point -> keys of the point that must be numbers.
        methods: settings -> what may be the method of a point.

    Raises:
        InputError: no such file, or one that is damaged, of another version or without such points.
    """
    path, again = Path(folder) / f'{figure}.json', AGAIN.format(figure=figure)
    report = read_record(path, f'{again}; finished runs are used again')
    try:
        its, points = report['settings'], report['points']
        known = methods({**its, **{key: its[key] for key in settings}})
        broken = [
            point for point in points if point.get('method') not in known or not_measured(point, numbers(its, point))
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f'{path} is no figure {figure.removeprefix("fig")} ({error!r}): {again}') from error
    if broken or not points:
        if not broken:
            raise InputError(f'{path} has no points: {again}')
        wanted = ', '.join(numbers(its, broken[0]))
        raise InputError(
            f'{path} has a point {json.dumps(broken[0])}: expected a method and numbers for {wanted} in each'
        )
    return report


def write_report(
    figure: str, out: Path, settings: Mapping[str, Any], comparisons: list[dict], points: list[dict], markdown: str
) -> dict[str, Any]:
    """Write JSON and Markdown of a figure; returns what the JSON holds, with the first comparison as headline."""
    report = {
        'version': RESULT_VERSION,
        'figure': figure,
        'settings': dict(settings),
        'headline': comparisons[0]['text'] if comparisons else None,
        'comparisons': comparisons,
        'points': points,
    }
    write_text(out / f'{figure}.md', markdown)
    write_json(out / f'{figure}.json', report)
    return report


def count_seeds(counts: Collection[int]) -> str:
    """Such as '3 seeds', or '1 to 5 seeds' where the parts of a figure have different numbers of them."""
    low, high = min(counts), max(counts)
    return f'{high} seed{"s" if high > 1 else ""}' if low == high else f'{low} to {high} seeds'


def spread_note(counts: Collection[int]) -> str:
    """What markers and bars show, for the numbers of seeds of the parts of a figure."""
    if max(counts) > 1:
        return f'Markers: mean over {count_seeds(counts)}; bars: one sample standard deviation over seeds to each side.'
    return 'One seed: how far seeds spread is not known.'


def mean_and_spread(values: Sequence[float]) -> str:
    """Of fractions, in percent."""
    spread = f' ± {100 * np.std(values, ddof=1):.2f}' if len(values) > 1 else ''
    return f'{100 * np.mean(values):.2f}{spread}'


def interval_text(interval: Sequence[float] | None) -> str:
    """Of fractions, in points."""
    return 'unknown' if interval is None else ' to '.join(f'{100 * end:+.2f}' for end in interval)
