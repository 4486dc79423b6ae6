"""What a microcontroller needs beside a TFLite file, as C99."""

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmnetaug.deploy.decode import KINDS, MAX_RATIO
from mmnetaug.deploy.network import number_of_channels
from mmnetaug.errors import InputError
from mmnetaug.normalisation import GRAY, IMAGENET
from mmnetaug.records import write_text

SOURCE = Path(__file__).with_name('detect.c')
NO_DECODER = 'has no decoder here, or another NMS, or a min_bbox_size'


def write_c(tflite: str | Path) -> list[Path]:
    """Write the model as a C array, and of a detector decoding and suppression with all constants.

    ``NAME_detect`` takes the output tensors of the model in the order of the JSON's ``output_tensors`` and gives boxes
    in pixels of the input, as :func:`~mmnetaug.deploy.decode.postprocess` does. ``NAME`` is that of the file.

    Args:
        tflite: a file of :func:`~mmnetaug.deploy.tflite.write_tflite`, its JSON beside it.

    Returns:
        The files, beside it: ``NAME_detect.h``, ``NAME_model.c`` and, of a detector, ``NAME_detect.c``.

    Raises:
        InputError: the head has no decoder here.
    """
    tflite = Path(tflite)
    meta = json.loads(tflite.with_suffix('.json').read_text(encoding='utf-8'))
    check_c(meta)
    name = re.sub(r'\W', '_', tflite.stem, flags=re.ASCII)
    name = f'model_{name}' if name[0].isdigit() else name
    content = tflite.read_bytes()
    files = {
        f'{name}_detect.h': _header(name, meta, len(content)),
        f'{name}_model.c': (
            f'#include "{name}_detect.h"\n\n'
            '#ifdef __GNUC__\n__attribute__((aligned(16))) /* as tflite-micro needs it */\n#endif\n'
            f'const unsigned char {name}_model[{len(content)}] = {_array(map(str, content))};\n'
        ),
    }
    if meta['head']:
        source = SOURCE.read_text(encoding='utf-8').replace('CONSTANTS', _constants(meta))
        files[f'{name}_detect.c'] = source.replace('NAME', name)
    paths = [tflite.with_name(file) for file in files]
    for path, text in zip(paths, files.values()):
        write_text(path, text)
    return paths


def check_c(meta: dict[str, Any]) -> None:
    """Raise :class:`~mmnetaug.errors.InputError` where a :attr:`~mmnetaug.deploy.network.Deployable.meta` is of a
    detector that C cannot be written for."""
    if meta['task'] == 'detection' and not meta['head']:
        raise InputError(f'--c decodes, and this head {NO_DECODER}: leave out --c')


def _header(name: str, meta: dict[str, Any], size: int) -> str:
    guard = f'{name.upper()}_DETECT_H'
    (width, height), channels = meta['size'], number_of_channels(meta)
    said = [
        f'{meta["task"].capitalize()} of {", ".join(meta["classes"])}',
        f'{width}x{height} pixels of {meta["channels"]}, row by row, each channel from 0 to 255'
        + (f': of a photograph {meta["resize"]}, bilinear' if 'resize' in meta else ''),
    ]
    if meta['head'] and meta['head']['size'] != meta['size']:
        colour = ', '.join(f'{round(value)}' for value in (GRAY if channels == 1 else IMAGENET)['mean'])
        order = ' of red, green and blue' if channels == 3 else ''
        image = '{}x{}'.format(*meta['head']['size'])
        said.append(f'The image is the {image} of them at the top left, and the rest has the value {colour}{order}')
    numbers = {'INPUT_WIDTH': int(width), 'INPUT_HEIGHT': int(height), 'INPUT_CHANNELS': channels}
    if meta['int8']:
        said.append('A value is given as value / INPUT_SCALE + INPUT_ZERO_POINT, rounded, as int8_t')
        numbers['INPUT_SCALE'] = _float(meta['input']['scale'])
        numbers['INPUT_ZERO_POINT'] = int(meta['input']['zero_point'])
    comment = '.\n   '.join(re.sub(r'[*\s]+', ' ', each).strip() for each in said)  # which no name of a class ends
    lines = [
        f'/* {comment}. */',
        f'#ifndef {guard}',
        f'#define {guard}',
        '#include <stdint.h>',
        '#ifdef __cplusplus',
        'extern "C" {',
        '#endif',
        '',
        '/* The model, for tflite-micro. */',
        f'extern const unsigned char {name}_model[{size}];',
        f'#define {name}_MODEL_SIZE {size}',
        *(f'#define {name}_{key} {number}' for key, number in numbers.items()),
    ]
    if meta['head']:
        lines += _detector(name, meta)
    return '\n'.join([*lines, '', '#ifdef __cplusplus', '}', '#endif', '#endif', ''])


def _detector(name: str, meta: dict[str, Any]) -> list[str]:
    head, tensors = meta['head'], meta['output_tensors']
    classes, kind = head['num_classes'], head['kind']
    int8 = meta['int8']
    numbers = {
        **{kind.upper(): place for place, kind in enumerate(KINDS)},
        'KIND': KINDS.index(kind),
        'INT8': int(int8),
        'CLASSES': int(classes),
        'MAPS': len(tensors),
        'LEVELS': len(head['levels']),
        'PER_PRIOR': len(head['priors'][0]),
        'BINS': head.get('bins', 1),
        'WIDTH': head['size'][0],
        'HEIGHT': head['size'][1],
        'CANDIDATES': sum(_candidates(head)),
        'MAX_PER_IMG': int(head['max_per_img']),
        **{key.upper(): _float(head[key]) for key in ('score_thr', 'conf_thr', 'iou_thr')},
        'MIN_SIZE': _float(head['min_size'] if head['min_size'] >= 0 else -1e9),
        'MAX_RATIO': _float(MAX_RATIO),
    }
    return [
        f'typedef {"int8_t" if int8 else "float"} {name}_value;',
        '',
        *(f'#define {name}_{key} {number}' for key, number in numbers.items()),
        '',
        '/* A box in pixels of the image. */',
        'typedef struct {',
        '    float x1, y1, x2, y2, score;',
        '    int label;',
        f'}} {name}_box;',
        '',
        "/* The model's outputs, as many as there are maps -> at most so many boxes as there is room for, best first;",
        '   their number. */',
        f'int {name}_detect(const {name}_value *const maps[{name}_MAPS], {name}_box *boxes, int room);',
    ]


def _constants(meta: dict[str, Any]) -> str:
    head, tensors = meta['head'], meta['output_tensors']
    first, steps = _grids(head)
    arrays = {
        'int level_priors': (str(int(count)) for *_, count in head['levels']),
        'int level_columns': (str(int(columns)) for _, columns, _ in head['levels']),
        'int cell_priors': (str(len(priors)) for priors in first),
        'float level_steps': (_float(step) for level in steps for step in level),
        'float first_priors': (_float(number) for level in first for prior in level for number in prior),
        **{f'float {key}': map(_float, head[key]) for key in ('means', 'stds', 'level_strides') if key in head},
    }
    if head['kind'] != 'yolov3':
        arrays['int level_candidates'] = map(str, _candidates(head))
    if meta['int8']:
        arrays['float scales'] = (_float(tensor['scale']) for tensor in tensors)
        arrays['int zero_points'] = (str(int(tensor['zero_point'])) for tensor in tensors)
    return '\n'.join(
        f'static const {kind} NAME_{key}[] = {_array(values)};'
        for (kind, key), values in ((declared.split(), values) for declared, values in arrays.items())
    )


def _grids(head: dict[str, Any]) -> tuple[list[np.ndarray], list[list[float]]]:
    """Of each level the priors of its first cell, and by how many pixels those of the next cell are to the right, and
    those of the next row below: a fiftieth of the numbers of all priors."""
    first, steps, priors = [], [], iter(head['priors'])
    for height, width, count in head['levels']:
        level = np.array(list(itertools.islice(priors, count))).reshape(height, width, count // (height * width), -1)
        first.append(level[0, 0])
        last = level[-1, -1, 0] - level[0, 0, 0]
        steps.append([last[axis] / max(cells - 1, 1) for axis, cells in enumerate((width, height))])
    return first, steps


def _candidates(head: dict[str, Any]) -> list[int]:
    """How many pairs of prior and class of each level go into suppression at most; of YOLOv3 of all levels together."""
    pairs = [int(level[2]) * int(head['num_classes']) for level in head['levels']]
    pairs = [sum(pairs)] if head['kind'] == 'yolov3' else pairs
    return [min(count, int(head['nms_pre'])) if head['nms_pre'] > 0 else count for count in pairs]


def _float(number: float) -> str:
    """A literal of C that gives the same float32."""
    return f'{float(number):.9g}' + ('f' if re.search('[.e]', f'{float(number):.9g}') else '.0f')


def _array(values: Iterable[str]) -> str:
    values = list(values)
    rows = [', '.join(values[start : start + 16]) for start in range(0, len(values), 16)]
    return '{\n    ' + ',\n    '.join(rows) + '\n}'
