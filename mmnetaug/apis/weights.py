"""Public ImageNet weights: fetched once, checked, and converted for our networks."""

import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch

from mmnetaug.archs import get_arch
from mmnetaug.checkpoint import (
    BEHIND_BACKBONE,
    checkpoint_meta,
    load_weights,
    network_state,
    read_checkpoint,
    trained_normalisation,
    trained_padding,
    write_export,
)
from mmnetaug.errors import DISK_ERRORS, InputError
from mmnetaug.models.backbones.tiny_net import TinyNet, feature_maps
from mmnetaug.models.networks.network import build_network

KERAS = 'https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/'
TORCHVISION = 'https://download.pytorch.org/models/'
KERAS_SIZES = (96, 128, 160, 192, 224)
# Architecture -> file of torchvision.
TORCHVISION_FILES = {
    'mobilenetv2_w1.0': 'mobilenet_v2-7ebf99e0.pth',
    'mobilenetv3_w1.0': 'mobilenet_v3_large-5c1a4163.pth',
    'resnet50': 'resnet50-0676ba61.pth',
}
KERAS_WIDTHS = {f'mobilenetv2_w{width}': width for width in ('0.35', '0.5', '0.75', '1.3', '1.4')}


def imagenet_address(arch: str, size: int) -> str:
    """Address of the public ImageNet weights of a network.

    Args:
        arch: its name.
        size: side of the images in pixels; Keras has weights for several, and the nearest is taken.

    Raises:
        InputError: nothing is published for this network.
    """
    name = 'mobilenetv2_w0.35' if arch == 'mobilenetv2_tiny' else arch  # the same as a detector's backbone
    family, _, width = name.partition('_w')
    if re.fullmatch(r'\d+(\.\d+)?', width):
        name = f'{family}_w{float(width)}'  # as the tables write it: 0.50 is 0.5, 1 is 1.0
    if name in TORCHVISION_FILES:
        return TORCHVISION + TORCHVISION_FILES[name]
    if name in KERAS_WIDTHS:
        width = KERAS_WIDTHS[name]
        nearest = 224 if float(width) > 1 else min(KERAS_SIZES, key=lambda side: (abs(side - size), -side))
        return f'{KERAS}mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{nearest}_no_top.h5'
    known = ', '.join(sorted({'mobilenetv2_tiny', *KERAS_WIDTHS, *TORCHVISION_FILES}))
    raise InputError(
        f'no public ImageNet weights are known for {arch}: there are some for {known}. Take one of these with --arch, '
        f'pretrain {arch} yourself (mmnetaug pretrain), or give --pretrained PATH or none'
    )


def fetch(address: str) -> Path:
    """The file at an address, in the folder where PyTorch keeps such files; fetched with a progress bar if not there.

    Its SHA-256 is kept beside it, as ``NAME.sha256``, and checked whenever the file is used. Where the name holds the
    beginning of it (``resnet50-0676ba61.pth``) that is checked as well.

    Raises:
        InputError: the file cannot be fetched (with the address, and where to put it), or is damaged.
    """
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    path = folder / address.rpartition('/')[2]
    note = path.with_name(f'{path.name}.sha256')
    prefix = re.search(r'-([0-9a-f]{8,})\.pth$', path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            torch.hub.download_url_to_file(address, str(path), prefix and prefix[1])
            _check_whole(path)
    except (URLError, HTTPException, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise InputError(
            f'{address} cannot be fetched ({error}). Fetch it elsewhere, put it at {path}, and type the same again'
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = note.read_text(encoding='utf-8').strip() if note.is_file() else prefix[1] if prefix else digest
    if not expected or not digest.startswith(expected):
        raise InputError(
            f'{path} ({path.stat().st_size} bytes) is damaged or half fetched: its SHA-256 is {digest[:16]}..., '
            f'expected {expected[:16]}. Delete it (and {note.name} beside it) and type the same again'
        )
    if not note.is_file():
        partial = note.with_name(f'{note.name}.{os.getpid()}')
        partial.write_text(f'{digest}\n', encoding='utf-8')
        os.replace(partial, note)
    return path


def _check_whole(path: Path) -> None:
    """Remove a file that was cut off on its way, and raise :class:`InputError`."""
    try:
        read_checkpoint(path)
    except InputError as error:
        size = path.stat().st_size
        path.unlink()
        raise InputError(
            f'what came for {path.name} ({size} bytes) is no file of weights, or half of one; it was removed. Type the '
            'same again, or fetch it elsewhere'
        ) from error


def convert_weights(source: str | Path, arch: str, out: str | Path) -> dict[str, Any]:
    """Write weights of any kind that :func:`~mmnetaug.checkpoint.load_weights` knows as an export of ours.

    Layers behind the backbone that the source does not have, or has in another width, are left out: the export then
    starts a detector, not a classifier.

    Args:
        source: the file.
        arch: name of our network.
        out: the export.

    Returns:
        What was written: ``arch``, ``padding`` and ``in_channels`` of the source, ``recipe`` (how its pixels are
        normalised, where it tells), ``source``, ``num_classes`` (None without a classifier), ``left_out``: our layers
        that the export has not.

    Raises:
        InputError: a file that cannot be read, or weights that do not fit the network.
    """
    content = read_checkpoint(source)
    channels = 1 if checkpoint_meta(content).get('in_channels') == 1 else 3
    rows = get_arch(arch, trained_padding(content) or 'symmetric', channels)
    state = network_state(content, rows, str(source))
    backbone = TinyNet(arch, [list(feature_maps(rows))[-1]], padding=rows.padding, in_channels=channels)
    load_weights(backbone, source, ignore=BEHIND_BACKBONE)
    classes = len(state['classifier.bias']) if 'classifier.bias' in state else None
    own = build_network(arch, classes or 1, in_channels=channels).state_dict()
    kept = {name: state[name] for name in own if name in state and state[name].shape == own[name].shape}
    left_out = sorted({name.rpartition('.')[0] for name in own if name not in kept})
    if 'classifier' in left_out:
        classes = None
    meta = {
        **{'arch': rows.name, 'padding': rows.padding, 'source': Path(source).name},
        **{'num_classes': classes, 'left_out': left_out},
        'in_channels': channels,
    }
    if its := trained_normalisation(content, channels):
        meta['recipe'] = {'model': {'data_preprocessor': its}}
    write_export(out, kept, meta)
    return meta
