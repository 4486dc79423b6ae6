"""What figure 5 says: its pictures, its table and its sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmnetaug.evaluation.tradeoff import compare, headline
from mmnetaug.records import table
from mmnetaug.visualization import plot_tradeoff
from mmnetaug.workflow import report

# Method, as in configs/det/HEAD_METHOD_LAYOUT.py -> its name in the figure, in the order of drawing.
METHODS = {'baseline': 'baseline', 'baseline_mixup': 'baseline + mixup', 'netaug': 'NetAug'}
# (method, reference) pairs that the figure makes a statement on.
COMPARISONS = (('netaug', 'baseline'), ('baseline_mixup', 'baseline'))
# Layout of the data -> what the panels show: key of a result, and how the figure calls it. The first must be there.
MEASURES = {'voc': {'AP50_area': 'AP50', 'AP': 'AP'}, 'coco': {'AP50': 'AP50', 'AP': 'AP'}}


class Picture(NamedTuple):
    """A picture of APs against a cost: its key, how sentences, table and axis call it, its unit there, and what is
    before the names of the measures."""

    cost: str
    name: str
    column: str
    axis: str
    unit: float
    before: str


PICTURES = {
    'fig5': Picture('macs', 'MACs', 'MACs (M)', 'MACs of the detector (million, logarithmic)', 1e6, ''),
    'fig5_memory': Picture(
        *('peak_memory', 'bytes of peak memory', 'peak memory (KB)'),
        *('peak memory in int8 (KB, logarithmic)', 1024, 'int8_'),
    ),
}


def write_fig5(settings: dict[str, Any], points: Sequence[dict[str, Any]], out: str | Path) -> dict[str, Any]:
    """Draw ``fig5.png`` and ``fig5.svg``, and write ``fig5.md`` and ``fig5.json``.

    Args:
        settings: with ``head_name``, ``arch``, ``data``, ``epochs`` and ``layout``; goes to the JSON as it is.
        points: each with ``method``, ``size``, ``seed``, ``macs`` and AP as fractions.
        out: the folder.

    Returns:
        What ``fig5.json`` holds: ``version``, ``figure``, ``settings``, ``headline``, ``comparisons`` (of
        :func:`~mmnetaug.evaluation.tradeoff.compare`, each with its ``text``) and ``points``.
    """
    out = Path(out)
    names = settings.get('names', METHODS)
    order = list(names)
    points = sorted(points, key=lambda point: (order.index(point['method']), point['size'], point['seed']))
    figure = _Figure(settings, names, points)
    comparisons: list[dict[str, Any]] = []
    for name, picture in PICTURES.items():
        paths = [out / f'{name}.{ending}' for ending in ('png', 'svg')]
        panels, said = figure.panels(picture)
        comparisons += said
        if panels:
            plot_tradeoff(panels, paths, figure.title, figure.note(picture), f'{picture.axis} at each image size')
        else:  # of an earlier command
            for path in paths:
                path.unlink(missing_ok=True)
    return report.write_report('fig5', out, settings, comparisons, points, figure.markdown(comparisons))


class _Figure:
    """What the pictures and the table show.

    Args:
        settings, points: as in :func:`write_fig5`.
        names: method -> how the figure calls it, in the order of drawing.
    """

    def __init__(self, settings: Mapping[str, Any], names: Mapping[str, str], points: Sequence[dict[str, Any]]):
        self.settings, self.names, self.points = settings, names, points
        self.title = f'{settings["head_name"]} on {settings["arch"]}, {Path(settings["data"]).name}'
        if settings.get('classes'):
            self.title += f', {len(settings["classes"])} classes'

    def measures(self, picture: Picture) -> dict[str, str]:
        """Key of each AP that some points have beside the cost -> how it is called."""
        called = picture.before.replace('_', ' ')
        keys = {f'{picture.before}{key}': f'{called}{name}' for key, name in MEASURES[self.settings['layout']].items()}
        return {key: name for key, name in keys.items() if self._having(picture, key)}

    def _having(self, picture: Picture, measure: str) -> list[dict[str, Any]]:
        return [point for point in self.points if picture.cost in point and measure in point]

    def panels(self, picture: Picture) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Panels of :func:`~mmnetaug.visualization.plot_tradeoff`, and what they say, each with its ``text``."""
        pairs = [*COMPARISONS, *((name, 'baseline') for name in self.names if name not in METHODS)]
        panels, comparisons = [], []
        for measure, label in self.measures(picture).items():
            points, said = self._having(picture, measure), []
            for method, reference in pairs:
                found = compare(points, method, reference, measure, picture.cost)
                if found['differences']:
                    said.append({**found, 'text': headline(found, self.names, label, picture.name)})
            series = {}
            for (method, size), its in _groups(points).items():
                entry = (its[0][picture.cost] / picture.unit, f'{size} px', [point[measure] for point in its])
                series.setdefault(self.names[method], []).append(entry)
            lines = [each['text'] for each in said if each['method'] in METHODS]
            panels.append({'measure': label, 'series': series, 'lines': lines})
            comparisons += said
        return panels, comparisons

    def note(self, picture: Picture) -> str:
        """In small print below a picture."""
        first = next(iter(self.measures(picture)))
        counts = [len(its) for its in _groups(self._having(picture, first)).values()]
        area = ' AP50 is the area under the curve (VOC since 2010).' if self.settings['layout'] == 'voc' else ''
        return (
            f'{report.spread_note(counts)}{area} At one image size all methods cost the same {picture.name}; their '
            f'markers are set apart sideways to be seen. Epochs of fine-tuning: {self.settings["epochs"]}.'
        )

    def markdown(self, comparisons: Sequence[dict[str, Any]]) -> str:
        """``fig5.md``."""
        pictures = {name: picture for name, picture in PICTURES.items() if self.measures(picture)}
        lines = [f'# Figure 5: {self.title}', '']
        for comparison in comparisons:
            lines += [comparison['text'], '']
        for name, picture in pictures.items():
            lines += [f'![AP against {picture.name}]({name}.png)', '']
        lines += [self.note(PICTURES['fig5']), '']
        if self.settings.get('command'):
            lines += [f'`{self.settings["command"]}`', '']
        measures = {key: name for picture in pictures.values() for key, name in self.measures(picture).items()}
        columns = [f'{name} (%)' for name in measures.values()]
        lines += ['Mean over seeds, with the sample standard deviation.', '']
        rows = [
            [self.names[method], size, *(_cost(its[0], picture) for picture in pictures.values())]
            + [_mean([point[measure] for point in its if measure in point], len(its)) for measure in measures]
            + [len(its)]
            for (method, size), its in _groups(self.points).items()
        ]
        costs = [picture.column for picture in pictures.values()]
        lines += table(['method', 'size (px)', *costs, *columns, 'seeds'], rows)
        rows = [
            [f'{self.names[comparison["method"]]} - {self.names[comparison["reference"]]}', row['size']]
            + [measures[comparison['measure']], f'{100 * row["mean"]:+.2f}']
            + [report.interval_text(row['interval']), row['seeds']]
            for comparison in comparisons
            for row in comparison['differences']
        ]
        if rows:
            lines += ['', 'Differences between runs with the same seed, in points, with 95% intervals (Student).', '']
            lines += table(['difference', 'size (px)', 'of', 'mean', '95% interval', 'seeds'], rows)
        lines += ['', 'Every point.', '']
        rows = [
            [self.names[point['method']], point['size'], point['seed'], _cost(point, PICTURES['fig5'])]
            + [f'{100 * point[measure]:.2f}' if measure in point else '' for measure in measures]
            for point in self.points
        ]
        lines += table(['method', 'size (px)', 'seed', PICTURES['fig5'].column, *columns], rows)
        return '\n'.join(lines) + '\n'


def _groups(points: Sequence[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Method and size -> their points."""
    groups: dict[tuple[str, int], list] = {}
    for point in points:
        groups.setdefault((point['method'], point['size']), []).append(point)
    return groups


def _cost(point: Mapping[str, Any], picture: Picture) -> str:
    return f'{point[picture.cost] / picture.unit:.2f}' if picture.cost in point else ''


def _mean(values: Sequence[float], number: int) -> str:
    """Mean and spread, with their number where it is not that of the row."""
    if not values:
        return ''
    return report.mean_and_spread(values) + (f' ({report.count_seeds([len(values)])})' if len(values) < number else '')
