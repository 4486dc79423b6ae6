"""Checkpoints: our own, MMEngine's, the published NetAug format, and weights of other libraries."""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn

from mmnetaug.archs import PADDINGS, Arch, get_arch
from mmnetaug.errors import InputError
from mmnetaug.models.networks.netaug import NetAug
from mmnetaug.models.networks.network import Network, build_network
from mmnetaug.normalisation import IMAGENET, UNIT_RANGE, normalisation
from mmnetaug.records import write_bytes
from mmnetaug.registry import WEIGHT_INITIALIZERS
from mmnetaug.trust import check_config
from mmnetaug.weights import LIBRARIES, convert, nearest_arch, own_arch, read_keras, recognise

EXPORT_VERSION = 2  # of a detector's export.pth; the first one named one of two detector classes, which are no more

HEADER, TUPLE = 'mmnetaug', 'tuple'  # what an export says of itself in the header of safetensors

LARGER = (
    'this network is a NetAug supernet, which is larger: load them into one of build_network or TinyNet, or train '
    'without NetAug'
)
# Module names of the published NetAug checkpoints -> ours, in this order.
PUBLISHED_NAMES = [
    (r'^backbone\.input_stem\.op_list\.(\d+)\.', r'stem.\1.'),
    (r'^backbone\.stages\.(\d+)\.op_list\.(\d+)\.', r'stages.\1.\2.'),
    (r'^head\.op_list\.\d+\.linear\.', 'classifier.'),
    (r'^head\.op_list\.(\d+)\.', r'head.\1.'),
    (r'\.conv\.inverted_conv\.', '.expand.'),
    (r'\.conv\.depth_conv\.', '.spatial.'),
    (r'\.conv\.point_conv\.', '.project.'),
    (r'\.conv\.se_layer\.(reduce|expand)_conv\.', r'.se.\1.'),
]
STEM = 'stem.0.conv.weight'
PADDED = {'symmetric': 'all around', 'tf': 'right and bottom first'}
# Our networks inside a classifier or a detector.
PREFIXES = ('network.', 'backbone.')
# What training in other programs has put around a network: DistributedDataParallel and AveragedModel (whose tensor
# n_averaged is of no network), torch.compile, Lightning.
WRAPPERS = ('module.', '_orig_mod.', 'model.', 'net.')
# Tensors that a checkpoint of a whole network may have beyond those of a backbone.
BEHIND_BACKBONE = ('stages.', 'head.', 'classifier.')


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint file, on the CPU. Only tensors and plain data are accepted, never code.

    Raises:
        InputError: no such file, a truncated file, not a checkpoint, or a pickle with code in it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'no checkpoint at {path}: expected a .pth file; check the path')
    if path.suffix.lower() in ('.onnx', '.tflite'):
        raise InputError(f'{path} is an exported file: give the export.pth that it was made of')
    if _is_keras(path):
        return {'state_dict': read_keras(path)}
    if _is_safetensors(path):
        return _read_safetensors(path)
    try:
        _check_sums(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        refused = re.search(r'GLOBAL ([\w.]+)|Unsupported class ([\w.]+)', str(error))
        with open(path, 'rb') as file:
            head = file.read(2)
        foreign = head[:1] == b'\x80' and head[1:] > b'\x02'  # a pickle, of a later protocol than torch.save's
        if isinstance(error, pickle.UnpicklingError) and (refused or foreign):
            found = f' ({refused[1] or refused[2]})' if refused else ''
            of_training = '; to go on training, use what wrote it' if 'HistoryBuffer' in found else ''
            raise InputError(
                f'{path} holds more than tensors and plain data{found}, and loading it could run code. It was not '
                'loaded. Take the export.pth beside it, if there is one. Where you trust the file, save its weights '
                f'alone: torch.save({{"state_dict": ...}}, PATH){of_training}'
            ) from error
        raise InputError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint: it is truncated, damaged or '
            f'something else ({type(error).__name__}). Expected a file that torch.save wrote; copy or train it again'
        ) from error
    if not isinstance(content, dict):
        raise InputError(f'{path} holds a {type(content).__name__}: expected a dict with a state_dict in it')
    if 'state_dict' not in content and isinstance(content.get('model'), Mapping):  # as many training scripts save it
        content = {**content, 'state_dict': content['model']}
    state = content.get('state_dict', content)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f'the state_dict in {path} is no mapping from names to tensors')
    for entry in ('meta', 'mmnetaug'):
        if not isinstance(content.get(entry, {}), Mapping):
            raise InputError(f'the {entry} entry in {path} is a {type(content[entry]).__name__}: expected a dict')
    return content


def _is_keras(path: Path) -> bool:
    with open(path, 'rb') as file:
        if file.read(8) == b'\x89HDF\r\n\x1a\n' or path.suffix in ('.h5', '.keras'):
            return True
    try:
        return 'model.weights.h5' in zipfile.ZipFile(path).namelist()
    except Exception:  # what a damaged archive raises depends on where the damage is
        return False


def _check_sums(path: Path) -> None:
    """Compare a zip archive with its check sums, which ``torch.load`` does not, unless it was saved without."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.CRC for entry in archive.infolist()) and (damaged := archive.testzip()):
                raise zipfile.BadZipFile(damaged)


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its beginning: the length of a header in 8 bytes, and the header, an object of JSON."""
    with open(path, 'rb') as file:
        length, start = int.from_bytes(file.read(8), 'little'), file.read(1)
    return path.suffix.lower() == '.safetensors' or (start == b'{' and length < path.stat().st_size)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        state = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, 'pt') as file:
            header = (file.metadata() or {}).get(HEADER)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as safetensors: {error}. It may be half fetched: '
            'fetch it again'
        ) from error
    if header is None:
        return {'state_dict': state}
    try:
        meta = json.loads(header, object_hook=_as_written)
    except (ValueError, RecursionError) as error:
        raise InputError(f'what {path} says of itself under {HEADER} is no JSON ({error}): fetch it again') from error
    if not isinstance(meta, dict):
        raise InputError(f'what {path} says of itself under {HEADER} is a {type(meta).__name__}: expected an object')
    return {'state_dict': state, 'meta': meta}


def _for_json(value: Any) -> Any:
    """Plain data with tuples, which JSON does not have, marked."""
    if isinstance(value, Mapping):
        return {name: _for_json(below) for name, below in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_for_json(below) for below in value]
        return items if isinstance(value, list) else {TUPLE: items}
    return value


def _as_written(value: dict) -> Any:
    return tuple(value[TUPLE]) if value.keys() == {TUPLE} and isinstance(value[TUPLE], list) else value


def network_state(checkpoint: Mapping[str, Any], arch: Arch, place: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of :class:`~mmnetaug.models.networks.Network`.

    Args:
        checkpoint: of :func:`read_checkpoint`.
        arch: the network.
        place: the file, for messages.

    Raises:
        InputError: weights of another library that are of another network.
    """
    theirs = trained_padding(checkpoint)
    if theirs not in (None, arch.padding):
        print_log(
            f'{place}: its convolutions of stride 2 padded {PADDED[theirs]}, those of this network pad '
            f'{PADDED[arch.padding]}; the weights work, and fit best after fine-tuning (exactly: --padding {theirs})',
            'current',
        )
    foreign = recognise(_tensors(checkpoint))
    if not foreign:
        return _own_state(checkpoint)
    library, state = foreign
    return convert(state, library, arch, place)


def trained_padding(checkpoint: Mapping[str, Any]) -> str | None:
    """The padding that the weights of a checkpoint of :func:`read_checkpoint` were trained with, one of ``PADDINGS`` of
    :mod:`mmnetaug.archs`; None where it does not tell."""
    state = _tensors(checkpoint)
    if foreign := recognise(state):
        return 'tf' if foreign[0].tf_padding else 'symmetric'
    told: Any = checkpoint_meta(checkpoint)
    if 'config' in told:
        told = _within(told, 'config', 'model', 'backbone')
    if isinstance(told, Mapping) and 'arch' in told:
        padding = told.get('padding', 'tf' if _was_keras(told) else 'symmetric')
        return padding if padding in PADDINGS else None
    return 'symmetric' if any('.op_list.' in name for name in state) else None


def trained_normalisation(checkpoint: Mapping[str, Any], channels: int = 3) -> dict[str, Any]:
    """The :func:`~mmnetaug.normalisation.normalisation` of the pixels that the weights of a checkpoint of
    :func:`read_checkpoint` were trained with; empty where it does not tell."""
    if foreign := recognise(_tensors(checkpoint)):
        return normalisation(UNIT_RANGE if foreign[0].unit_range else IMAGENET, channels)
    told = checkpoint_meta(checkpoint)
    its = _within(told, 'config' if 'config' in told else 'recipe', 'model', 'data_preprocessor')
    if its is None and _was_keras(told):
        its = UNIT_RANGE
    return normalisation(its, channels)


def _was_keras(told: Mapping[str, Any]) -> bool:
    """Whether weights were converted from Keras; early releases noted no more than their file."""
    return Path(str(told.get('source', ''))).suffix in ('.h5', '.keras')


def _within(told: Any, *keys: str) -> Any:
    """What lies below these keys, one within the other; None where one is missing."""
    for key in keys:
        told = told.get(key) if isinstance(told, Mapping) else None
    return told


def _tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    state = checkpoint.get('state_dict', checkpoint)
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor) and name != 'n_averaged'}
    while prefix := next((each for each in WRAPPERS if state and all(name.startswith(each) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _own_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a network in a checkpoint of ours, or in the published NetAug format."""
    state = _tensors(checkpoint)
    if any('.op_list.' in name for name in state):
        for pattern, ours in PUBLISHED_NAMES:
            state = {re.sub(pattern, ours, name): tensor for name, tensor in state.items()}
        return state
    for prefix in PREFIXES:
        inside = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
        if inside:
            return inside
    return state


def load_weights(network: nn.Module, path: str | Path, ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """Load a checkpoint into a network; every tensor must match.

    Args:
        network: a :class:`~mmnetaug.models.networks.Network`, or a module with some of its tensors.
        path: our own checkpoint (``export.pth`` or one of training), one in the published NetAug format, or weights of
            another library (see :mod:`mmnetaug.weights`), as ``.pth``, ``.safetensors``, ``.h5`` or ``.keras``.
        ignore: tensors of the checkpoint whose names start so may be absent from ``network``.

    Returns:
        The checkpoint's ``meta`` entry, or an empty dict.

    Raises:
        InputError: a module of another kind, the file cannot be read (:func:`read_checkpoint`), or a tensor is missing,
            left over, of another shape or not finite; the first differences are listed and nothing is loaded.
    """
    checkpoint = read_checkpoint(path)
    if not hasattr(network, 'arch'):
        raise InputError(
            f'a {type(network).__name__} does not say which network it is (arch): expected one of build_network, or a '
            'TinyNet, such as the backbone of a detector'
        )
    arch = (
        network.arch if isinstance(network.arch, Arch) else get_arch(network.arch, network.padding, network.in_channels)
    )
    if isinstance(network, NetAug) and network.arch != network.base and recognise(_tensors(checkpoint)):
        raise InputError(f'{path} has weights of a tiny network, and {LARGER}')
    state = _summed_over_colour(network_state(checkpoint, arch, str(path)), arch)
    own = network.state_dict()
    differences = []
    for name, tensor in own.items():
        if name not in state:
            differences.append(f'{name}: missing in the checkpoint')
        elif state[name].shape != tensor.shape:
            differences.append(f'{name}: {tuple(state[name].shape)} in the checkpoint, expected {tuple(tensor.shape)}')
    differences += [
        f'{name}: not in this network' for name in state if name not in own and not name.startswith(ignore or '\0')
    ]
    if differences:
        raise InputError(f'{path} {_misfit(checkpoint, state, network, arch, differences)}')
    state = {name: state[name] for name in own}
    check_finite(state, path)
    network.load_state_dict(state)
    return dict(checkpoint.get('meta', {}))


def not_finite(state: Mapping[str, Any]) -> list[str]:
    """The tensors of a state dict that are not finite everywhere."""
    floats = {name: each for name, each in state.items() if isinstance(each, Tensor) and each.is_floating_point()}
    return [  # of which those of 8 bits have no isfinite
        name
        for name, each in floats.items()
        if not (each.float() if each.element_size() == 1 else each).isfinite().all()
    ]


def check_finite(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise :class:`InputError` where tensors of a state dict, of a checkpoint at ``path``, are infinite or NaN."""
    if bad := not_finite(state):
        raise InputError(
            f'{path} has weights that are infinite or NaN, in {len(bad)} of {len(state)} tensors, first {bad[0]}: '
            'expected numbers; take another checkpoint, or train it again'
        )


def _summed_over_colour(state: dict[str, Tensor], arch: Arch) -> dict[str, Tensor]:
    """Weights for images in colour, for ``arch`` on gray ones: as if all three channels showed the gray image."""
    stem = state.get(STEM)
    if arch.in_channels == 1 and stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        return {**state, STEM: stem.sum(1, keepdim=True)}
    return state


def _misfit(
    checkpoint: Mapping[str, Any], state: Mapping[str, Tensor], network: nn.Module, arch: Arch, differences: list
) -> str:
    """Why weights do not fit, as plainly as the names and shapes of the tensors tell."""
    own = network.state_dict()
    if checkpoint_meta(checkpoint).get('supernet'):
        return 'is of a NetAug supernet, larger than its tiny network: use the export.pth beside it'
    if isinstance(network, NetAug) and (tiny := own_arch(state)):
        return f'has weights of {tiny}, and {LARGER}'
    if own.keys() & state.keys() <= {STEM}:
        libraries = ', '.join(dict.fromkeys(f'{library.family} of {library.name}' for library in LIBRARIES))
        return (
            f'has weights of an unknown network (its first tensor is {next(iter(state), "missing")}): expected an '
            f'export of ours, a published NetAug checkpoint, or {libraries}'
        )
    theirs = own_arch(state, unlike=arch)
    if theirs:
        return f'has weights of {theirs}, not of {arch.name}: take --arch {theirs}, or other weights'
    stem = state.get(STEM)
    if arch.in_channels == 3 and stem is not None and stem.ndim == 4 and stem.shape[1] == 1:
        return 'has weights for gray images, and this network is for images in colour: take --gray, or other weights'
    shown = '\n  '.join(differences[:5])
    meta = checkpoint.get('meta') or {}
    made_for = f' (it was made for {meta["arch"]}, {meta.get("num_classes")} classes)' if 'arch' in meta else ''
    return (
        f'does not fit this network: {len(differences)} of its {len(own)} tensors differ, first\n  {shown}\nExpected a '
        f'checkpoint of the same architecture and number of classes{made_for}; of a NetAug supernet, the export.pth '
        'beside it'
    )


def checkpoint_arch(checkpoint: Mapping[str, Any]) -> str | None:
    """Name of the network that the weights of a checkpoint of :func:`read_checkpoint` are of, as it says or its tensors
    are shaped; None where neither tells."""
    told = checkpoint_meta(checkpoint).get('arch')
    if isinstance(told, str):
        return told
    foreign = recognise(_tensors(checkpoint))
    return nearest_arch(foreign[1], foreign[0]) if foreign else own_arch(_own_state(checkpoint))


def classifier_rows(checkpoint: Mapping[str, Any]) -> int | None:
    """How many classes the weights of a checkpoint of :func:`read_checkpoint` tell apart; None where they do not."""
    foreign = recognise(_tensors(checkpoint))
    state, name = (foreign[1], foreign[0].classifier) if foreign else (_own_state(checkpoint), 'classifier')
    weight = state.get(f'{name}.weight')
    return None if weight is None else len(weight)


def load_network(
    path: str | Path, num_classes: int, arch: str | None = None, in_channels: int | None = None
) -> Network:
    """A trained network from its checkpoint.

    Args:
        path: as in :func:`~mmnetaug.checkpoint.load_weights`.
        num_classes: how many logits it must give.
        arch: its name; None for what the checkpoint says or its tensors are shaped like.
        in_channels: of the images that it is given, 3 or 1; None for what the checkpoint says.

    Raises:
        InputError: the file cannot be read or is of another network, or its architecture is not known.
    """
    content = read_checkpoint(path)
    arch = arch or checkpoint_arch(content)
    if not arch:
        raise InputError(
            f'{path} does not tell of which network it is: expected an export.pth of ours, or the name of the network '
            'beside it (of a teacher: arch=... of mmnetaug.DistillationHook)'
        )
    in_channels = in_channels or (1 if checkpoint_meta(content).get('in_channels') == 1 else 3)
    network = build_network(arch, num_classes, trained_padding(content) or 'symmetric', in_channels)
    load_weights(network, path)
    return network


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class StrictPretrained:
    """Initialise a module from a checkpoint, every tensor of it, or raise :class:`InputError`.

    MMEngine's own ``Pretrained`` loads what fits and trains the rest from scratch.

    Args:
        checkpoint: path, as in :func:`load_weights`.
        prefix, map_location: MMEngine's, for nothing: a backbone within a detector is found, and read on the CPU.
    """

    def __init__(self, checkpoint: str, prefix: str | None = None, map_location: Any = None) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        load_weights(module, self.checkpoint, ignore=BEHIND_BACKBONE)
        if hasattr(module, '_params_init_info'):  # what MMEngine's log says of each parameter
            update_init_info(module, f'loaded from {self.checkpoint}')


def write_export(path: str | Path, network: nn.Module | Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write an export, whole or not at all.

    Args:
        path: of the file. With the suffix ``.safetensors`` it is of that format, with ``meta`` in its header as JSON
            under ``mmnetaug``, a tuple as ``{"tuple": [...]}``.
        network: what to export, or its state dict.
        meta: plain data about it.
    """
    path = Path(path)
    state = network.state_dict() if isinstance(network, nn.Module) else network
    state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    meta = {'version': EXPORT_VERSION, **meta}
    if path.suffix.lower() == '.safetensors':
        state = {name: tensor.clone() for name, tensor in state.items()}  # it refuses tensors with one storage
        content = safetensors.torch.save(state, {HEADER: json.dumps(_for_json(meta))})
    else:
        buffer = io.BytesIO()
        torch.save({'state_dict': state, 'meta': meta}, buffer)
        content = buffer.getvalue()
    write_bytes(path, content)  # and not by these libraries, whose errors do not tell that a disk is full


def write_exports(
    folder: str | Path, network: nn.Module, meta: Mapping[str, Any], safetensors_too: bool = False
) -> None:
    """Write ``export.pth`` into a folder, and ``export.safetensors`` where that is asked for."""
    other = 'export.safetensors'  # also where there is one, which would be that of older weights
    for name in ['export.pth', *([other] if safetensors_too or (Path(folder) / other).is_file() else [])]:
        write_export(Path(folder) / name, network, meta)


def checkpoint_meta(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint says of itself: the meta of an export, or what ``ExportHook`` has put beside and into
    MMEngine's."""
    meta = content.get('meta', {})
    told = content.get('mmnetaug', meta.get('mmnetaug'))
    return told if isinstance(told, Mapping) else meta


def read_detector(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint of a detector says of it, and its weights.

    Args:
        path: an ``export.pth``, or an ``epoch_N.pth`` of training.

    Returns:
        ``config`` (model and test part of a complete config, plain data), ``classes``, ``arch``, ``size``, ``seed``,
        ``epochs``; and the state dict.

    Raises:
        InputError: the file cannot be read, or is no such checkpoint.
    """
    content = read_checkpoint(path)
    meta = checkpoint_meta(content)
    if 'config' not in meta or 'classes' not in meta or 'state_dict' not in content:
        if 'pipeline' in meta and 'model' in meta:
            raise InputError(
                f'{path} is a detector of an earlier release, which this one cannot build: train it again with '
                'mmnetaug train, or use the release that made it'
            )
        raise InputError(
            f'{path} holds no detector: expected the export.pth or epoch_N.pth that mmnetaug train wrote (to use its '
            'weights with a config of your own: mmnetaug test CONFIG CHECKPOINT)'
        )
    if meta.get('version', EXPORT_VERSION) != EXPORT_VERSION:
        raise InputError(
            f'{path} is of another release (version {str(meta["version"])[:20]}, and this one reads {EXPORT_VERSION}): '
            'use the release that made it, or train it again'
        )
    check_config(meta['config'], str(path))
    if not isinstance(meta['classes'], (list, tuple)) or not all(isinstance(name, str) for name in meta['classes']):
        raise InputError(f'{path} has no names of classes: expected the export.pth that mmnetaug train wrote')
    return dict(meta), dict(content['state_dict'])
