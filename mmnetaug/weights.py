"""Weights of other libraries for our networks: recognised by the names of their tensors, converted one by one.

MobileNetV2 of Keras, torchvision, timm, mmpretrain and MMDetection, MobileNetV3-Large and ResNet50 of torchvision and
timm, and the published NetAug checkpoints. A library is one row of ``LIBRARIES``.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from mmnetaug.archs import FAMILIES, NETWORKS, Arch, Block, get_arch
from mmnetaug.errors import InputError
from mmnetaug.models.networks.netaug import conv_widths

EPSILON = 1e-5  # of our normalisation, PyTorch's default
NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
# Our layer -> (its convolution, its normalisation or None) as a library calls them.
Layers = dict[str, tuple[str, str | None]]


@dataclass(frozen=True)
class Library:
    """How a library calls the tensors of one kind of network.

    Attributes:
        name: of the library.
        family: beginning of the names of our networks of this kind.
        signature: names of tensors by which its checkpoints are known.
        layers: our layers of a network -> theirs.
        epsilon: of its normalisation. Where it is another than ours it is moved into the variances, exactly.
        tf_padding: whether convolutions of stride 2 pad right and bottom first, as TensorFlow does, where ours pad all
            around: then the outputs differ a little.
        classifier: its linear classifier.
        unit_range: whether it takes pixels from -1 to 1, not less ImageNet's mean and over its deviation.
    """

    name: str
    family: str
    signature: tuple[str, ...]
    layers: Callable[[Arch], Layers]
    epsilon: float = EPSILON
    tf_padding: bool = False
    classifier: str = 'classifier'
    unit_range: bool = False


def numbered_blocks(arch: Arch) -> Iterator[tuple[str, int, int, Block]]:
    """(our name, stage, number in it, row) of each block: that of the stem is stage 0, that of the head the last."""
    stages = [arch.stem[1:], *arch.stages, arch.head[:1]]
    names = ['stem', *(f'stages.{i}' for i in range(len(arch.stages))), 'head']
    for stage, (name, rows) in enumerate(zip(names, stages)):
        for number, row in enumerate(rows):
            if isinstance(row, Block):
                yield f'{name}.{number + (name == "stem")}', stage, number, row


def _sequence(ours: str, block: Block, entry: Callable[[int], tuple[str, str]], se: Callable[[int], str]) -> Layers:
    """A block whose layers stand in one sequence, as all but ResNet's do."""
    layers: Layers = {}
    for part in (*(['expand'] if block.mid else []), 'spatial', *(['se'] if block.se else []), 'project'):
        place = len([name for name in layers if not name.endswith('.se.expand')])
        if part == 'se':
            layers[f'{ours}.se.reduce'] = (f'{se(place)}1', None)
            layers[f'{ours}.se.expand'] = (f'{se(place)}2', None)
        else:
            layers[f'{ours}.{part}'] = entry(place)
    return layers


def _torchvision_v2(arch: Arch) -> Layers:
    layers: Layers = {'stem.0': ('features.0.0', 'features.0.1')}
    blocks = list(numbered_blocks(arch))
    for k, (ours, _, _, block) in enumerate(blocks, 1):
        conv, last = f'features.{k}.conv', 2 if block.mid else 1

        def entry(place: int, conv: str = conv, last: int = last) -> tuple[str, str]:
            if place == last:  # the projection stands in the sequence itself
                return f'{conv}.{place}', f'{conv}.{place + 1}'
            return f'{conv}.{place}.0', f'{conv}.{place}.1'

        layers.update(_sequence(ours, block, entry, str))
    last = f'features.{len(blocks) + 1}'
    return {**layers, 'head.1': (f'{last}.0', f'{last}.1')}


def _torchvision_v3(arch: Arch) -> Layers:
    layers: Layers = {'stem.0': ('features.0.0', 'features.0.1')}
    blocks = list(numbered_blocks(arch))
    for k, (ours, _, _, block) in enumerate(blocks, 1):
        parts = f'features.{k}.block'
        layers.update(
            _sequence(
                ours,
                block,
                lambda place, parts=parts: (f'{parts}.{place}.0', f'{parts}.{place}.1'),
                lambda place, parts=parts: f'{parts}.{place}.fc',
            )
        )
    last = f'features.{len(blocks) + 1}'
    return {**layers, 'head.0': (f'{last}.0', f'{last}.1'), 'head.2': ('classifier.0', None)}


def _timm(arch: Arch) -> Layers:
    layers: Layers = {'stem.0': ('conv_stem', 'bn1')}
    for ours, stage, number, block in numbered_blocks(arch):
        prefix = f'blocks.{stage}.{number}'
        convs = ('conv_pw', 'conv_dw', 'conv_pwl') if block.mid else ('conv_dw', 'conv_pw')
        parts = ('expand', 'spatial', 'project') if block.mid else ('spatial', 'project')
        for norm, (part, conv) in enumerate(zip(parts, convs), 1):
            layers[f'{ours}.{part}'] = (f'{prefix}.{conv}', f'{prefix}.bn{norm}')
        if block.se:
            layers[f'{ours}.se.reduce'] = (f'{prefix}.se.conv_reduce', None)
            layers[f'{ours}.se.expand'] = (f'{prefix}.se.conv_expand', None)
    if isinstance(arch.head[0], Block):
        return {**layers, 'head.1': ('conv_head', 'bn2')}
    last = f'blocks.{len(arch.stages) + 1}.0'
    return {**layers, 'head.0': (f'{last}.conv', f'{last}.bn1'), 'head.2': ('conv_head', None)}


def _openmmlab_v2(parts: tuple[str, ...]) -> Callable[[Arch], Layers]:
    """Names of MMDetection and mmpretrain, which call the layers of a block by name or by number."""

    def layers(arch: Arch) -> Layers:
        found: Layers = {'stem.0': ('conv1.conv', 'conv1.bn'), 'head.1': ('conv2.conv', 'conv2.bn')}
        for ours, stage, number, block in numbered_blocks(arch):
            own = ('expand', 'spatial', 'project')[0 if block.mid else 1 :]
            theirs = parts[3 - len(own) :] if parts[0] != '0' else parts
            for part, name in zip(own, theirs):
                prefix = f'layer{stage + 1}.{number}.{"conv." if parts[0] == "0" else ""}{name}'
                found[f'{ours}.{part}'] = (f'{prefix}.conv', f'{prefix}.bn')
        return found

    return layers


def _keras_v2(arch: Arch) -> Layers:
    layers: Layers = {'stem.0': ('Conv1', 'bn_Conv1'), 'head.1': ('Conv_1', 'Conv_1_bn')}
    for k, (ours, _, _, block) in enumerate(numbered_blocks(arch)):
        prefix = f'block_{k}' if k else 'expanded_conv'
        for part, name in [('expand', 'expand'), ('spatial', 'depthwise'), ('project', 'project')]:
            if part != 'expand' or block.mid:
                layers[f'{ours}.{part}'] = (f'{prefix}_{name}', f'{prefix}_{name}_BN')
    return layers


def _resnet(arch: Arch) -> Layers:
    layers: Layers = {'stem.0': ('conv1', 'bn1')}
    for ours, stage, number, block in numbered_blocks(arch):
        prefix = f'layer{stage}.{number}'
        for norm, part in enumerate(('expand', 'spatial', 'project'), 1):
            layers[f'{ours}.{part}'] = (f'{prefix}.conv{norm}', f'{prefix}.bn{norm}')
        if block.shortcut == 'project':
            layers[f'{ours}.shortcut'] = (f'{prefix}.downsample.0', f'{prefix}.downsample.1')
    return layers


LIBRARIES = (
    Library('torchvision', 'mobilenetv2', ('features.0.0.weight', 'features.1.conv.0.0.weight'), _torchvision_v2,
            classifier='classifier.1'),
    Library('torchvision', 'mobilenetv3', ('features.0.0.weight', 'features.1.block.0.0.weight'), _torchvision_v3,
            epsilon=1e-3, classifier='classifier.3'),
    Library('timm', 'mobilenetv3', ('conv_stem.weight', 'blocks.6.0.conv.weight'), _timm),
    Library('timm', 'mobilenetv2', ('conv_stem.weight', 'blocks.6.0.conv_pwl.weight', 'bn2.weight'), _timm),
    Library('MMDetection', 'mobilenetv2', ('conv1.conv.weight', 'layer2.0.expand_conv.conv.weight'),
            _openmmlab_v2(('expand_conv', 'depthwise_conv', 'linear_conv')), classifier='head.fc'),
    Library('mmpretrain', 'mobilenetv2', ('conv1.conv.weight', 'layer2.0.conv.2.conv.weight'),
            _openmmlab_v2(('0', '1', '2')), classifier='head.fc'),
    Library('Keras', 'mobilenetv2', ('Conv1.weight', 'block_1_expand.weight'), _keras_v2, epsilon=1e-3,
            tf_padding=True, classifier='predictions', unit_range=True),
    Library('torchvision or timm', 'resnet50', ('conv1.weight', 'layer1.0.conv3.weight', 'layer4.2.conv3.weight'),
            _resnet, classifier='fc'),
    Library('mmpretrain', 'resnet50',
            ('conv1.weight', 'layer1.0.conv3.weight', 'layer4.2.conv3.weight', 'head.fc.weight'), _resnet,
            classifier='head.fc'),
)  # fmt: skip


def recognise(state: Mapping[str, Tensor]) -> tuple[Library, dict[str, Tensor]] | None:
    """The library that a state dict comes from, and the tensors under that library's names; None for none of them.

    A checkpoint of a whole model of MMDetection or mmpretrain has its backbone under ``backbone.``; only that, and a
    classifier, is of interest.
    """
    inside = {name.removeprefix('backbone.'): state[name] for name in state if name.startswith('backbone.')}
    if inside:
        state = {**inside, **{name: state[name] for name in state if name.startswith('head.fc.')}}
    fitting = [library for library in LIBRARIES if all(name in state for name in library.signature)]
    return (max(fitting, key=lambda library: len(library.signature)), state) if fitting else None


def convert(state: Mapping[str, Tensor], library: Library, arch: Arch, place: str) -> dict[str, Tensor]:
    """Tensors of a library under our names, as float32; the classifier is left out where the library's has none.

    Args:
        state: of :func:`recognise`.
        library: of the same.
        arch: our network.
        place: what the tensors come from, for messages.

    Raises:
        InputError: weights of another kind of network or of another width (which, and what to type), tensors that are
            missing or that nobody knows.
    """
    fits = nearest_arch(state, library)
    if not arch.name.startswith(library.family) or not _same_backbone(state, library, arch):
        advice = f'take --arch {fits}, or other weights' if fits else 'take others: no network of ours has its widths'
        raise InputError(
            f'{place} has weights of {fits or f"{library.family} of an unusual width"} ({library.name}), not of '
            f'{arch.name}: {advice}'
        )
    pairs = _pairs(state, library, arch)
    used = {theirs for theirs, _ in pairs.values()}
    unknown = [name for name in state if name not in used and not name.endswith('num_batches_tracked')]
    if unknown:
        raise InputError(
            f"{place} is {library.name}'s {library.family} but for {len(unknown)} tensors that are not known, first "
            f'{", ".join(unknown[:5])}: expected the weights of the plain network'
        )
    return {ours: tensor for ours, (_, tensor) in pairs.items()}


def _pairs(state: Mapping[str, Tensor], library: Library, arch: Arch) -> dict[str, tuple[str, Tensor]]:
    """Our name -> (their name, tensor) of all that the state has."""
    pairs = {}

    def add(ours: str, theirs: str) -> None:
        if theirs in state:
            tensor = state[theirs]
            pairs[ours] = theirs, tensor.float() if tensor.is_floating_point() else tensor

    for layer, (conv, norm) in library.layers(arch).items():
        inner = f'{layer}.' if '.se.' in layer else f'{layer}.conv.'
        add(f'{inner}weight', f'{conv}.weight')
        if norm is None:
            add(f'{inner}bias', f'{conv}.bias')
            if f'{inner}weight' in pairs and pairs[f'{inner}weight'][1].ndim == 2:  # a linear layer on pooled features
                theirs, tensor = pairs[f'{inner}weight']
                pairs[f'{inner}weight'] = theirs, tensor[:, :, None, None]
            continue
        for part in NORM:
            add(f'{layer}.norm.{part}', f'{norm}.{part}')
        variance = f'{layer}.norm.running_var'
        if variance in pairs and library.epsilon != EPSILON:
            theirs, tensor = pairs[variance]
            pairs[variance] = theirs, tensor + (library.epsilon - EPSILON)
        if f'{norm}.num_batches_tracked' not in state and variance in pairs:
            pairs[f'{layer}.norm.num_batches_tracked'] = '', torch.tensor(0)
    for part in ('weight', 'bias'):
        add(f'classifier.{part}', f'{library.classifier}.{part}')
    return pairs


def _same_backbone(state: Mapping[str, Tensor], library: Library, arch: Arch) -> bool:
    """Whether stem, stages and the head's first layer have the shapes of ``arch``."""
    layers = library.layers(arch)
    widths = _output_channels(conv_widths(arch))
    for layer, (conv, _) in layers.items():
        tensor = state.get(f'{conv}.weight')
        if layer in widths and (tensor is None or tensor.shape[0] != widths[layer]):
            return False
    return True


def _output_channels(convs: Mapping[str, int]) -> dict[str, int]:
    """Channels of the first convolution of stem and head and of what each block gives, by the layer, out of those of
    convolutions by their names."""
    layers = {name.removesuffix('.conv'): width for name, width in convs.items() if name.endswith('.conv')}
    names = [name for name in layers if name in ('stem.0', 'head.0') or name.endswith(('.expand', '.project'))]
    return {name: layers[name] for name in names}


def nearest_arch(state: Mapping[str, Tensor], library: Library) -> str | None:
    """The name of the network that weights of a library are of; None if its width is no multiple of 0.05 up to 2."""
    names = [f'{library.family}_w{step / 20}' for step in range(1, 41)]
    for name in ['resnet50', *names] if library.family == 'resnet50' else names:
        if _same_backbone(state, library, get_arch(name)):
            return name
    return None


def own_arch(state: Mapping[str, Tensor], unlike: Arch | None = None) -> str | None:
    """The smallest network of ours that tensors under our names can be of; None if none is, or if ``unlike`` fits."""
    convs = [name.removesuffix('.weight') for name in state if name.endswith('.conv.weight')]
    found = _output_channels({name: state[f'{name}.weight'].shape[0] for name in convs})
    if not any(name.endswith('.project') for name in found):  # a stem alone, which many networks call as ours
        return None
    if unlike and found.items() <= _output_channels(conv_widths(unlike)).items():
        return None
    names = [*NETWORKS, *(f'{family}_w{step / 20}' for family in FAMILIES for step in range(1, 41))]
    widths = {name: _output_channels(conv_widths(get_arch(name))) for name in names}
    fitting = [name for name in names if found.items() <= widths[name].items()]
    return min(fitting, key=lambda name: len(widths[name]), default=None)


# What Keras calls a tensor -> PyTorch's name for it, and where PyTorch has its dimensions.
KERAS_NAMES = {
    'kernel': ('weight', (3, 2, 0, 1)),
    'depthwise_kernel': ('weight', (2, 3, 0, 1)),
    'bias': ('bias', None),
    'gamma': ('weight', None),
    'beta': ('bias', None),
    'moving_mean': ('running_mean', None),
    'moving_variance': ('running_var', None),
}


def read_keras(path: Path) -> dict[str, Tensor]:
    """The tensors of a Keras file: ``.h5`` or ``.weights.h5``, or the zip ``.keras``.

    Returns:
        ``LAYER.weight`` and so on, in PyTorch's order of dimensions.

    Raises:
        InputError: a file that is damaged, or holds no layers with weights.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                source: Path | io.BytesIO = io.BytesIO(archive.read('model.weights.h5'))
        else:
            source = path
        with h5py.File(source) as file:
            tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in _keras_tensors(file)}
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a Keras file: {error}. Expected .h5 or .keras as '
            'Keras writes them; it may be half fetched: fetch it again'
        ) from error
    if not tensors:
        raise InputError(f'{path} is an HDF5 file without layers of Keras: expected the weights of MobileNetV2')
    return tensors


def _keras_tensors(file: h5py.File) -> Iterator[tuple[str, np.ndarray]]:
    found: list[tuple[str, str, np.ndarray]] = []

    def visit(path: str, value: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(value, h5py.Dataset):
            return
        name = path.rpartition('/')[2]
        if value.parent.name.endswith('/vars'):  # Keras 3: numbers, and the layer's name as an attribute
            layer = value.parent.attrs['name']
            norm = len(value.parent) == 4
            kinds = ('gamma', 'beta', 'moving_mean', 'moving_variance') if norm else ('kernel', 'bias')
            name = kinds[int(name)]
        else:
            layer = path.split('/')[-2]
        found.append((layer, name.removesuffix(':0'), value[()]))

    file.visititems(visit)
    for layer, name, value in found:
        if name not in KERAS_NAMES:
            raise ValueError(f'{layer} has a tensor {name}')
        ours, order = KERAS_NAMES['depthwise_kernel' if name == 'kernel' and 'depthwise' in layer else name]
        if order and value.ndim == 4:
            value = value.transpose(order)
        elif order and value.ndim == 2:
            value = value.T
        yield f'{layer}.{ours}', np.ascontiguousarray(value)
