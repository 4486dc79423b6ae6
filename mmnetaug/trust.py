"""What a checkpoint says of a detector, checked before anything is built from it.

A checkpoint of plain data can still name what shall be built. MMEngine's registries take any importable name, such as
``subprocess.Popen``, and import modules that a scope names; mmcv evaluates ``nms.type`` as an expression; ``init_cfg``
loads files and addresses. So only parts that are registered already are accepted, by name, and no argument that reads
files or addresses, imports or writes.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from mmnetaug import registry as ours
from mmnetaug.errors import InputError

SCOPES = ('mmdet', 'mmnetaug', 'mmengine', 'mmcv')
# Section of a config -> registries of the parts that it may name.
SECTIONS = {
    'model': ('MODELS', 'TASK_UTILS'),
    'test_dataloader': ('DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS', 'FUNCTIONS'),
    'test_evaluator': ('METRICS',),
    'test_cfg': ('LOOPS',),
}
NMS_TYPES = ('nms', 'soft_nms')
# Registered parts that fetch by name, import, or write.
REFUSED_TYPES = ('BertModel', 'Albu', 'DumpResults', 'DumpDetResults', 'DumpProposals', 'DumpOdVGResults')
# Arguments that read files or addresses, import, or write; where and when they are ours, a command line gives them.
REFUSED = {
    *('init_cfg', 'pretrained', 'checkpoint', 'teacher_config', 'teacher_ckpt', 'load_from'),
    *('_scope_', '_delete_', 'imports', 'custom_imports'),
    *('backend_args', 'file_client_args', 'format_only', 'outfile_prefix', 'out_file_path'),
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
            _check(value, section, _registered(SECTIONS[section]), place)


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
    elif not isinstance(value, (str, int, float, bool, type(None))):
        _refuse(place, path, type(value).__name__, 'a number, a text or a list of these')


def _check_type(name: Any, path: str, known: set[str], place: str) -> None:
    if not isinstance(name, str) or name not in known or name.rpartition('.')[2] in REFUSED_TYPES:
        _refuse(
            place,
            path,
            name,
            'a part of mmdet, mmcv, mmengine or mmnetaug (one of your own: register it in a module, and name that with '
            '--custom-imports)',
        )


def _registered(names: tuple[str, ...]) -> set[str]:
    """Names, with and without their scope, of all that these libraries register, and what a user has imported."""
    found = set()
    for name in names:
        root = getattr(ours, name, None) or _root(name)
        while root.parent is not None:
            root = root.parent
        for registry in (root, *root.children.values()):
            if registry.scope in SCOPES:
                registry.import_from_location()
                found |= {name for key in registry.module_dict for name in (key, f'{registry.scope}.{key}')}
    return found


def _root(name: str) -> Registry:
    from mmengine import registry as mmengine_registry

    return getattr(mmengine_registry, name)


def _refuse(place: str, path: str, found: Any, expected: str) -> None:
    raise InputError(
        f'{place} was not loaded: its {path} is {str(found)[:80]!r}, which could run code or touch files. Expected '
        f'{expected}'
    )
