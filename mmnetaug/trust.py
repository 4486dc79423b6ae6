"""What a checkpoint says of a detector, checked before anything is built from it.

A checkpoint of plain data can still name what shall be built. MMEngine's registries take any importable name, such as
``subprocess.Popen``, and import modules that a scope names; mmcv evaluates ``nms.type`` as an expression, as one of
mmdet's parts for tracking does with an argument; ``init_cfg`` loads files and addresses, some data sets and measures
pickles. So only parts that are registered already are accepted, by name, of the modules that detectors are made of, and
no argument that reads files or addresses, imports or writes.
"""

import re
from collections.abc import Mapping
from typing import Any

from mmengine import registry

import mmnetaug.registry  # noqa: F401, children of MMEngine's registries
from mmnetaug.errors import InputError

SCOPES = ('mmdet', 'mmnetaug', 'mmengine', 'mmcv')
# Section of a config -> registries of the parts that it may name.
SECTIONS = {
    'model': ('MODELS', 'TASK_UTILS'),
    'test_dataloader': ('DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS', 'FUNCTIONS'),
    'test_evaluator': ('METRICS',),
    'test_cfg': ('LOOPS',),
}
# Section -> modules whose registered parts it may name, besides those that a user has imported.
MODULES = {
    'model': (
        *('mmnetaug.models', 'torch.nn', 'mmcv.cnn', 'mmcv.ops', 'mmengine.model', 'mmengine.utils'),
        *(f'mmdet.models.{part}' for part in ('backbones', 'necks', 'dense_heads', 'detectors', 'losses', 'layers')),
        *(f'mmdet.models.{part}' for part in ('data_preprocessors', 'roi_heads', 'seg_heads')),
        *(f'mmdet.models.task_modules.{part}' for part in ('assigners', 'coders', 'prior_generators', 'samplers')),
    ),
    'test_dataloader': (
        *('mmnetaug.datasets', 'mmcv.transforms', 'mmengine.dataset'),
        *(f'mmdet.datasets.{part}' for part in ('transforms', 'samplers', 'dataset_wrappers')),
        *(f'mmdet.datasets.{part}' for part in ('coco', 'voc', 'xml_style', 'cityscapes', 'lvis', 'objects365')),
        *(f'mmdet.datasets.{part}' for part in ('wider_face', 'deepfashion', 'isaid', 'v3det')),
    ),
    'test_evaluator': (
        'mmnetaug.evaluation',
        *(f'mmdet.evaluation.metrics.{part}_metric' for part in ('coco', 'voc', 'lvis')),
    ),
    'test_cfg': ('mmnetaug.engine', 'mmengine.runner', 'mmdet.engine'),
}
CLASS = re.compile(r'\.metainfo\.classes\.\d+$')  # a name, whatever it looks like
LIBRARIES = (*SCOPES, 'torch')
NMS_TYPES = ('nms', 'soft_nms')
# Parts of these modules that fetch by name, or import.
REFUSED_TYPES = ('ATSSVLFusionHead', 'Detectron2Wrapper', 'RandomSamplingNegPos', 'Albu')
# Arguments that read files or addresses, import, or write; where and when they are ours, a command line gives them.
REFUSED = {
    *('init_cfg', 'pretrained', 'checkpoint', 'teacher_config', 'teacher_ckpt', 'load_from'),
    *('_scope_', '_delete_', 'imports', 'custom_imports'),
    *('backend_args', 'file_client_args', 'format_only', 'outfile_prefix', 'proposal_file', 'collect_dir'),
}


def check_config(config: Any, place: str) -> None:
    """Check the test part of a config that a file holds.

    Args:
        config: as :func:`~mmnetaug.checkpoint.read_detector` finds it.
        place: the file, for messages.

    Raises:
        InputError: anything but known sections, registered parts, and plain values.
    """
    if not isinstance(config, Mapping):
        _refuse(place, 'config', type(config).__name__, 'a dict')
    for section, value in config.items():
        if section == 'default_scope':
            if value not in SCOPES:
                _refuse(place, section, value, f'one of {", ".join(SCOPES)}')
        elif section not in SECTIONS:
            _refuse(place, section, '...', f'only {", ".join(SECTIONS)}')
        else:
            _check(value, section, _registered(section), place)


def _check(value: Any, path: str, known: set[str], place: str) -> None:
    if isinstance(value, Mapping):
        for key, below in value.items():
            here = f'{path}.{key}'
            if not isinstance(key, str) or (key in REFUSED and below not in (None, False)):
                _refuse(place, here, below, 'no such argument: it could load or write something')
            if key == 'type':
                _check_type(below, here, known, place)
            elif key == 'nms' and isinstance(below, Mapping):
                if below.get('type', 'nms') not in NMS_TYPES:
                    _refuse(place, f'{here}.type', below['type'], f'one of {", ".join(NMS_TYPES)}')
                _check({name: each for name, each in below.items() if name != 'type'}, here, known, place)
            else:
                _check(below, here, known, place)
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            _check(below, f'{path}.{index}', known, place)
    elif isinstance(value, str) and '://' in value and not CLASS.search(path):
        _refuse(place, path, value, 'no address')
    elif not isinstance(value, (str, int, float, bool, type(None))):
        _refuse(place, path, type(value).__name__, 'a number, a text or a list of these')


def _check_type(name: Any, path: str, known: set[str], place: str) -> None:
    if not isinstance(name, str) or name not in known or name.rpartition('.')[2] in REFUSED_TYPES:
        _refuse(
            place,
            path,
            name,
            'a part that detectors, their data sets or measures are made of, of mmdet, mmcv, mmengine or mmnetaug (one '
            'of your own: register it in a module, and name that with --custom-imports)',
        )


def _registered(section: str) -> set[str]:
    """Names, with and without their scope, of what a section may name, and of what a user has imported."""
    found = set()
    for name in SECTIONS[section]:
        root = getattr(registry, name)
        root.import_from_location()  # which may bring children
        registries = [each for each in (root, *root.children.values()) if each.scope in SCOPES]
        for each in registries:
            each.import_from_location()
        for each in registries:  # after all of these, which register in the root as well
            usable = [key for key, part in each.module_dict.items() if _may_be_named(part, section)]
            found |= {name for key in usable for name in (key, f'{each.scope}.{key}')}
    return found


def _may_be_named(part: Any, section: str) -> bool:
    module = f'{part.__module__}.'
    return module.partition('.')[0] not in LIBRARIES or module.startswith(tuple(f'{m}.' for m in MODULES[section]))


class Untrusted(InputError):
    """A config in a file that is not built."""


def _refuse(place: str, path: str, found: Any, expected: str) -> None:
    raise Untrusted(
        f'{place} was not loaded: its {path} is {str(found)[:80]!r}, which could run code or touch files. Expected '
        f'{expected}'
    )
