"""Checkpoints: our own, MMEngine's, and the published NetAug format."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import torch
from torch import Tensor, nn

from mmnetaug.errors import InputError

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
# Our networks inside a classifier or a detector.
PREFIXES = ('network.', 'backbone.')


def read_checkpoint(path: Union[str, Path]) -> dict[str, Any]:
    """The content of a checkpoint file, on the CPU. Only tensors and plain data are accepted, never code.

    Raises:
        InputError: no such file, a truncated file, not a checkpoint, or a pickle with code in it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'no checkpoint at {path}: expected a .pth file; check the path')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        refused = re.search(r'GLOBAL ([\w.]+)|Unsupported class ([\w.]+)', str(error))
        with open(path, 'rb') as file:
            head = file.read(2)
        foreign = head[:1] == b'\x80' and head[1:] > b'\x02'  # a pickle, of a later protocol than torch.save's
        if isinstance(error, pickle.UnpicklingError) and (refused or foreign):
            found = f' ({refused[1] or refused[2]})' if refused else ''
            raise InputError(
                f'{path} holds more than tensors and plain data{found}, and loading it could run code. It was not '
                'loaded. Where you trust the file, save its weights alone: torch.save({"state_dict": ...}, PATH)'
            ) from error
        raise InputError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint: it is truncated, damaged or '
            f'something else ({type(error).__name__}). Expected a file that torch.save wrote; copy or train it again'
        ) from error
    if not isinstance(content, dict):
        raise InputError(f'{path} holds a {type(content).__name__}: expected a dict with a state_dict in it')
    state = content.get('state_dict', content)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f'the state_dict in {path} is no mapping from names to tensors')
    if not isinstance(content.get('meta', {}), Mapping):
        raise InputError(f'the meta entry in {path} is a {type(content["meta"]).__name__}: expected a dict')
    return content


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of :class:`~mmnetaug.models.network.Network`."""
    state = checkpoint.get('state_dict', checkpoint)
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if any('.op_list.' in name for name in state):
        for pattern, ours in PUBLISHED_NAMES:
            state = {re.sub(pattern, ours, name): tensor for name, tensor in state.items()}
        return state
    for prefix in PREFIXES:
        inside = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
        if inside:
            return inside
    return state


def load_weights(network: nn.Module, path: Union[str, Path], ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """Load a checkpoint into a network; every tensor must match.

    Args:
        network: a :class:`~mmnetaug.models.network.Network`, or a module with some of its tensors.
        path: our own checkpoint (``export.pth`` or one of training), or one in the published NetAug format.
        ignore: tensors of the checkpoint whose names start so may be absent from ``network``.

    Returns:
        The checkpoint's ``meta`` entry, or an empty dict.

    Raises:
        InputError: the file cannot be read (:func:`read_checkpoint`), or a tensor is missing, left over or of
            another shape; the first differences are listed and nothing is loaded.
    """
    checkpoint = read_checkpoint(path)
    state = network_state(checkpoint)
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
        meta = checkpoint.get('meta', {})
        made_for = f' It was made for {meta["arch"]} ({meta.get("num_classes")} classes).' if 'arch' in meta else ''
        shown = '\n  '.join(differences[:5])
        raise InputError(
            f'{path} does not fit this network: {len(differences)} of its {len(own)} tensors differ, first\n'
            f'  {shown}\nExpected a checkpoint of the same architecture and number of classes.{made_for} (A '
            'checkpoint of a NetAug supernet is larger than its tiny network: use the export.pth beside it.)'
        )
    network.load_state_dict({name: state[name] for name in own})
    return dict(checkpoint.get('meta', {}))
