"""Several detectors side by side: quality, cost and latency."""

import csv
import json
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from mmnetaug.apis.config import dataset_config
from mmnetaug.apis.test import build_detector, checkpoint_config, model_meta, set_test_data, test_detector
from mmnetaug.apis.train import other_measures
from mmnetaug.deploy.inputs import Inputs
from mmnetaug.deploy.runtime import is_artefact, open_artefact
from mmnetaug.deploy.tflite import arena
from mmnetaug.errors import InputError, check_names
from mmnetaug.evaluation.speed import machine, measure_inference
from mmnetaug.models.task_modules.prior_generators import Size, size_text
from mmnetaug.records import table, write_json
from mmnetaug.registry import mmdet_scope
from mmnetaug.visualization import plot_ap_against_macs

KILOBYTES = '{:.0f} KB'  # of a value in bytes
MILLIONS = '{:.2f} M'
MEASURED_ON = 8  # test images, for latency
# Column -> how a value is written in the table.
COLUMNS = {
    'num_classes': '{:.0f}',
    'AP': '{:.3f}',
    'AP50': '{:.3f}',
    'AP75': '{:.3f}',
    'AP_small': '{:.3f}',
    'AP_medium': '{:.3f}',
    'AP_large': '{:.3f}',
    'AP50_area': '{:.3f}',
    'AP50_11point': '{:.3f}',
    'macs': MILLIONS,
    'head_share': '{:.1%}',
    'params': MILLIONS,
    'peak_memory': KILOBYTES,
    'weight_bytes': KILOBYTES,
    'latency_ms': '{:.1f}',
    'latency_1_thread_ms': '{:.1f}',
    'nms_share': '{:.1%}',
    'file_bytes': KILOBYTES,
    'arena_bytes': KILOBYTES,
}

# Column -> picture, label and unit of an axis that AP is drawn against.
PICTURES = {
    'latency_1_thread_ms': ('benchmark_latency.png', 'Latency on one thread (ms)', 1),
    'peak_memory': ('benchmark_memory.png', 'Peak memory of int8 activations (KB)', 1024),
}


def benchmark(
    checkpoints: Sequence[str | Path],
    names: Sequence[str],
    out_dir: str | Path,
    config: Config | None = None,
    data_root: str | None = None,
    files: dict[str, tuple[str, str | None]] | None = None,
    allow_outside: bool = False,
) -> list[dict[str, Any]]:
    """Evaluate detectors on one data set and put them in a table and a picture.

    Args:
        checkpoints: each an ``export.pth`` or ``epoch_N.pth`` of ``mmnetaug train``, or an ``.onnx`` or ``.tflite`` of
            ``mmnetaug export``, which is measured as it is.
        names: of the detectors, for table and picture.
        out_dir: ``benchmark.json``, ``.csv``, ``.md`` and ``.png`` (AP against MACs) go there, and AP against what else
            was measured (:data:`PICTURES`).
        config: complete, for its data set; None: each checkpoint's own.
        data_root, files, allow_outside: other data, as in :func:`~mmnetaug.apis.test.set_test_data`.

    Returns:
        One row a detector: ``name``, ``arch``, ``size``, AP (fractions), MACs, parameters, CPU latency of a test image,
        size of the file, and of a TFLite file the arena that tflite-micro takes, where that is installed.

    Raises:
        InputError: no detector in a checkpoint, not a name of its own for each, data that cannot be used, or another
            data set for each.
    """
    for given in (checkpoints, names):
        if isinstance(given, (str, os.PathLike)):
            raise InputError(f'{given} alone: expected lists, such as [{str(given)!r}], of checkpoints and of names')
    checkpoints, names, out_dir = list(checkpoints), list(names), Path(out_dir)
    if not checkpoints:
        raise InputError('no checkpoints: expected at least one export.pth, epoch_N.pth, .onnx or .tflite')
    check_names(names, checkpoints)
    runs, metas = [], []
    for checkpoint in checkpoints:
        metas.append(model_meta(checkpoint))  # a wrong one fails before any work
        run = checkpoint_config(checkpoint, config)
        set_test_data(run, data_root, files, allow_outside)
        run.work_dir = str(out_dir / 'logs')
        runs.append(run)
    data_sets = [dataset_config(run, 'test_dataloader') for run in runs]
    used, *others = dict.fromkeys(map(_data, data_sets))
    if others:
        raise InputError(
            f'the detectors were tested on different data, {" and ".join(map(str, [used, *others]))}: give a config or '
            '--data-root to test all on the same'
        )
    named = [(data.get('metainfo') or {}).get('classes') for data in data_sets]
    classes = [sorted(its if isinstance(its, (list, tuple)) else meta['classes']) for its, meta in zip(named, metas)]
    if differ := any(each != classes[0] for each in classes):
        print_log(
            f'the detectors know different classes ({", ".join(str(len(each)) for each in classes)} of them): each AP '
            'is the mean over its own',
            'current',
            logging.WARNING,
        )
    root = data_sets[0].get('data_root') or str(data_sets[0].get('ann_file'))
    rows = []
    for name, checkpoint, run, meta, its_classes in zip(names, checkpoints, runs, metas, classes):
        pictures = _pictures(run, checkpoint, meta)
        scores = test_detector(run, checkpoint)
        rows.append(
            {
                'name': name,
                **{key: scores[key] for key in ('arch', 'size')},
                **({'num_classes': len(its_classes)} if differ else {}),
                **scores,
                **_measure(checkpoint, scores['size'], pictures),
                'file_bytes': Path(checkpoint).stat().st_size,
            }
        )
        # after each: a later one may fail
        write_json(out_dir / 'benchmark.json', {'machine': machine('cpu'), 'data_root': root, 'detectors': rows})
    with open(out_dir / 'benchmark.csv', 'w', encoding='utf-8', newline='') as file:
        columns = [name for name, value in rows[0].items() if not isinstance(value, dict)]  # no AP50 of each class
        writer = csv.DictWriter(file, columns, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)
    (out_dir / 'benchmark.md').write_text(markdown_table(rows), encoding='utf-8')
    measured = [column for column in COLUMNS if all(row.get(column) is not None for row in rows)]
    measure = next((column for column in measured if column.startswith('AP50')), None)
    if measure:  # else an evaluator without average precision, or with names of its own
        plot_ap_against_macs(rows, out_dir / 'benchmark.png', measure)
        for column, (file, label, unit) in PICTURES.items():
            known = [row for row in rows if row.get(column)]
            if known:
                plot_ap_against_macs(known, out_dir / file, measure, column, label, unit)
    return rows


def draw_deployed(path: str | Path) -> list[Path]:
    """Draw AP50 against peak memory of detectors that run in int8 on a microcontroller.

    Args:
        path: a JSON file such as ``results/deploy/deploy.json``: rows of :func:`benchmark` with ``data`` (a word for
            the data set) and ``route``, of which 'TFLite int8' is drawn.

    Returns:
        A picture for each data set beside it, ``int8_ap50_memory_DATA.png``.
    """
    path = Path(path)
    rows = json.loads(path.read_text(encoding='utf-8'))['rows']
    shown: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row['route'] == 'TFLite int8':
            shown.setdefault(row['data'], []).append({**row, 'name': f'{row["head"]} on {row["arch"]}'})
    _, label, unit = PICTURES['peak_memory']
    return [
        plot_ap_against_macs(
            detectors, path.with_name(f'int8_ap50_memory_{data}.png'), 'AP50_area', 'peak_memory', label, unit
        )
        for data, detectors in shown.items()
    ]


def _data(dataset: ConfigDict) -> tuple[str, ...]:
    """What a data set reads."""
    root = dataset.get('data_root') or ''
    folders = (dataset.get('data_prefix') or {}).values() if 'coco' in dataset.type.lower() else ()  # others know them
    places = [os.path.realpath(os.path.join(root, str(place))) for place in (dataset.get('ann_file'), *folders)]
    return (*places, str(dataset.get('split', '')))


def _pictures(run: Config, checkpoint: str | Path, meta: dict[str, Any]) -> list[Any]:
    """Some of the images that are tested on, as the detector takes them."""
    try:
        with mmdet_scope():
            dataset = DATASETS.build(run.test_dataloader.dataset)
        inputs, number = Inputs(meta), min(len(dataset), MEASURED_ON)
        paths = [dataset.get_data_info(index)['img_path'] for index in range(number)]
        if is_artefact(checkpoint):
            return [each[0] for each in inputs.pixels(paths)]
        return [inputs.read(path)['inputs'] for path in paths]
    except (InputError, AttributeError, KeyError) as error:  # of images or data sets of another kind
        print_log(f'latency is measured on noise ({error})', 'current', logging.WARNING)
        return []


def _measure(checkpoint: str | Path, size: Size, pictures: Sequence[Any]) -> dict[str, Any]:
    if not is_artefact(checkpoint):
        detector, threads = build_detector(checkpoint), torch.get_num_threads()
        speed = measure_inference(detector, size, images=pictures)
        try:
            torch.set_num_threads(1)
            alone = measure_inference(detector, size, images=pictures)['latency_ms']
        finally:
            torch.set_num_threads(threads)
        return {**speed, 'latency_1_thread_ms': alone, 'arena_bytes': None}
    micro = Path(checkpoint).suffix.lower() == '.tflite' and find_spec('tflite_micro')
    return {
        'latency_ms': open_artefact(checkpoint).latency(images=pictures),
        'latency_1_thread_ms': open_artefact(checkpoint, threads=1).latency(images=pictures),
        'nms_share': None,
        'arena_bytes': arena(checkpoint)['total'] if micro else None,
    }


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """``rows`` of :func:`benchmark` as a Markdown table; "-" where there is nothing to measure, and for a
    backbone that is not ours."""
    styles = {**{name: '{:.3f}' for row in rows for name in other_measures(row)}, **COLUMNS}
    columns = [column for column in styles if any(column in row for row in rows)]
    lines = []
    for row in rows:
        values = ['-' if row.get(column) is None else _written(row[column], styles[column]) for column in columns]
        lines.append([row['name'], row['arch'] or '-', size_text(row['size']), *values])
    return '\n'.join(table(['detector', 'arch', 'size', *columns], lines)) + '\n'


def _written(value: float, style: str) -> str:
    return style.format(value / {KILOBYTES: 1024, MILLIONS: 1e6}.get(style, 1))
