"""Several detectors side by side: quality, cost and latency."""

import copy
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

from mmengine.config import Config

from mmnetaug.detection import build_detector, detector_meta, test_detector
from mmnetaug.engine.runtime import write_json
from mmnetaug.evaluation.speed import machine, measure_inference
from mmnetaug.visualization import plot_ap_against_macs

# Column -> how a value is written in the table.
COLUMNS = {
    'AP': '{:.3f}',
    'AP50': '{:.3f}',
    'AP75': '{:.3f}',
    'AP_small': '{:.3f}',
    'AP_medium': '{:.3f}',
    'AP_large': '{:.3f}',
    'AP50_area': '{:.3f}',
    'AP50_11point': '{:.3f}',
    'macs': '{:.3e}',
    'head_share': '{:.1%}',
    'params': '{:.3e}',
    'latency_ms': '{:.1f}',
    'nms_share': '{:.1%}',
}


def benchmark(
    config: Config, checkpoints: Sequence[Union[str, Path]], names: Sequence[str], out_dir: Union[str, Path]
) -> list[dict[str, Any]]:
    """Evaluate detectors on one data set and put them in a table and a picture.

    Args:
        config: a detection config, for its data set.
        checkpoints: each an ``export.pth`` of ``tools/train.py``.
        names: of the detectors, for table and picture.
        out_dir: ``benchmark.json``, ``.csv``, ``.md`` and ``.png`` (AP against MACs) go there.

    Returns:
        One row a detector: ``name``, ``arch``, ``size``, AP (fractions), MACs, parameters, CPU latency of one image.
    """
    out_dir = Path(out_dir)
    metas = [detector_meta(checkpoint) for checkpoint in checkpoints]  # a wrong one fails before any work
    rows = []
    for name, checkpoint, meta in zip(names, checkpoints, metas):
        run = copy.deepcopy(config)
        run.work_dir = str(out_dir / 'logs')
        scores = test_detector(run, checkpoint)
        speed = measure_inference(build_detector(checkpoint), meta['size'])
        rows.append({'name': name, 'arch': meta['arch'], 'size': meta['size'], **scores, **speed})
    report = {'machine': machine('cpu'), 'data_root': config.data_root, 'detectors': rows}
    write_json(out_dir / 'benchmark.json', report)
    with open(out_dir / 'benchmark.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    (out_dir / 'benchmark.md').write_text(markdown_table(rows))
    measure = next(column for column in COLUMNS if column.startswith('AP50') and column in rows[0])
    plot_ap_against_macs(rows, out_dir / 'benchmark.png', measure)
    return rows


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """``rows`` of :func:`benchmark` as a Markdown table; "-" where there is nothing to measure."""
    columns = [column for column in COLUMNS if column in rows[0]]
    lines = [['detector', 'arch', 'size', *columns], ['---'] * (len(columns) + 3)]
    for row in rows:
        values = ['-' if row[column] is None else COLUMNS[column].format(row[column]) for column in columns]
        lines.append([row['name'], row['arch'], str(row['size']), *values])
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)
