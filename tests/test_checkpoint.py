"""Loading weights: every tensor must match, and no code is run."""

import errno
import json
import pickle
import resource
import zipfile

import pytest
import safetensors
import safetensors.torch
import torch
from helpers import Intruder
from mmengine.runner.checkpoint import CheckpointLoader

import mmnetaug
from mmnetaug import InputError
from mmnetaug.checkpoint import read_checkpoint, write_export, write_exports


@pytest.fixture
def saved(tmp_path):
    """A tiny network and its checkpoint."""
    network = mmnetaug.build_network('mobilenetv2_tiny', 10)
    path = tmp_path / 'export.pth'
    meta = {'arch': 'mobilenetv2_tiny', 'num_classes': 10}
    torch.save({'state_dict': network.state_dict(), 'meta': meta}, path)
    return network, path


def test_weights_come_back_with_their_meta(saved):
    network, path = saved
    other = mmnetaug.build_network('mobilenetv2_tiny', 10)
    meta = mmnetaug.load_weights(other, path)
    assert meta['arch'] == 'mobilenetv2_tiny'
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


@pytest.mark.parametrize('prefix', ['network.', 'backbone.'])
def test_a_network_inside_a_larger_model_is_found(saved, tmp_path, prefix):
    network, _ = saved
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({'state_dict': {**state, 'bbox_head.weight': torch.zeros(1)}}, tmp_path / 'model.pth')
    other = mmnetaug.build_network('mobilenetv2_tiny', 10)
    mmnetaug.load_weights(other, tmp_path / 'model.pth')
    assert torch.equal(other.classifier.weight, network.classifier.weight)


def test_other_architecture_is_named_and_nothing_is_loaded(saved):
    _, path = saved
    other = mmnetaug.build_network('mcunet', 10)
    before = other.classifier.weight.clone()
    with pytest.raises(InputError, match='weights of mobilenetv2_tiny, not of mcunet: take --arch mobilenetv2_tiny'):
        mmnetaug.load_weights(other, path)
    assert torch.equal(other.classifier.weight, before)


def test_other_number_of_classes(saved):
    _, path = saved
    with pytest.raises(InputError) as error:
        mmnetaug.load_weights(mmnetaug.build_network('mobilenetv2_tiny', 7), path)
    assert 'classifier.weight: (10, 448) in the checkpoint, expected (7, 448)' in str(error.value)
    assert 'it was made for mobilenetv2_tiny, 10 classes' in str(error.value)


def test_left_over_tensor(saved, tmp_path):
    network, _ = saved
    torch.save({'state_dict': {**network.state_dict(), 'extra': torch.zeros(1)}}, tmp_path / 'extra.pth')
    with pytest.raises(InputError, match='extra: not in this network'):
        mmnetaug.load_weights(network, tmp_path / 'extra.pth')


@pytest.mark.parametrize('source', ['our own', 'Keras'])
def test_weights_of_a_tiny_network_are_none_of_its_supernet(shared, tmp_path, source):
    path = shared / 'reference/keras_mobilenetv2_w0.35_no_top.h5'
    if source == 'our own':
        path = tmp_path / 'export.pth'
        write_export(path, mmnetaug.build_network('mobilenetv2_w0.35', 10), {})
    with pytest.raises(
        InputError, match=r'has weights of .*, and this network is a NetAug supernet, .*: load them into'
    ):
        mmnetaug.load_weights(mmnetaug.NetAug('mobilenetv2_w0.35', 10), path)


def test_a_module_that_says_no_network(saved):
    with pytest.raises(InputError, match=r'a Linear does not say which network it is .*: expected one of'):
        mmnetaug.load_weights(torch.nn.Linear(2, 2), saved[1])


def test_supernet_checkpoint_points_to_the_export(tmp_path):
    aug = mmnetaug.NetAug('mobilenetv2_tiny', 10)
    torch.save({'state_dict': aug.state_dict()}, tmp_path / 'supernet.pth')
    with pytest.raises(InputError, match=r'export\.pth'):
        mmnetaug.load_weights(mmnetaug.build_network('mobilenetv2_tiny', 10), tmp_path / 'supernet.pth')


def test_missing_file(saved, tmp_path):
    with pytest.raises(InputError, match=r'no checkpoint at .*nowhere\.pth'):
        mmnetaug.load_weights(saved[0], tmp_path / 'nowhere.pth')


@pytest.mark.parametrize('length', [0, 100, 0.5, 0.99])
def test_truncated_file(saved, length):
    network, path = saved
    content = path.read_bytes()
    path.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    with pytest.raises(InputError, match='truncated'):
        mmnetaug.load_weights(network, path)


@pytest.mark.parametrize('length', [100, 0.5, 0.99])
def test_truncated_file_of_the_old_format(saved, tmp_path, length):
    network, _ = saved
    path = tmp_path / 'legacy.pth'
    torch.save({'state_dict': network.state_dict()}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    path.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    with pytest.raises(InputError, match='truncated'):
        mmnetaug.load_weights(network, path)


def test_a_flipped_bit(saved):
    network, path = saved
    content = bytearray(path.read_bytes())
    largest = max(zipfile.ZipFile(path).infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 4
    path.write_bytes(content)
    torch.load(path)
    with pytest.raises(InputError, match='truncated, damaged'):
        mmnetaug.load_weights(network, path)


def test_check_sums_that_were_not_saved(saved):
    network, path = saved
    content = torch.load(path)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(content, path)
    finally:
        torch.serialization.set_crc32_options(True)
    mmnetaug.load_weights(network, path)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_no_numbers(saved, value):
    network, path = saved
    before, content = network.classifier.weight.clone(), torch.load(path)
    content['state_dict']['classifier.weight'][3, 2] = value
    torch.save(content, path)
    with pytest.raises(InputError, match=r'infinite or NaN, in 1 of \d+ tensors, first classifier.weight: expected'):
        mmnetaug.load_weights(network, path)
    assert torch.equal(network.classifier.weight, before)


@pytest.mark.parametrize('name', ['export.pth', 'export.safetensors'])
def test_no_room_for_an_export(saved, tmp_path, name):
    """The system's own error, and the export that was there stays."""
    path = tmp_path / name
    write_export(path, saved[0], {})
    before, (soft, hard) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError) as error:
            write_export(path, saved[0], {'arch': 'mobilenetv2_tiny'})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG and path.read_bytes() == before
    assert not list(tmp_path.glob('*.partial'))


@pytest.mark.parametrize('content', [b'not a checkpoint', b'\x89PNG\r\n\x1a\n' + bytes(200)])
def test_file_that_is_no_checkpoint(saved, tmp_path, content):
    (tmp_path / 'other.pth').write_bytes(content)
    with pytest.raises(InputError, match=r'other\.pth'):
        mmnetaug.load_weights(saved[0], tmp_path / 'other.pth')


def test_checkpoint_without_a_dict(saved, tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(InputError, match='list'):
        mmnetaug.load_weights(saved[0], tmp_path / 'list.pth')


@pytest.mark.parametrize(
    'content', [{'state_dict': [1]}, {'state_dict': torch.zeros(1)}, {1: 2}, {'state_dict': {}, 'meta': 'x'}]
)
def test_checkpoint_of_another_shape(saved, tmp_path, content):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(InputError, match=r'odd\.pth'):
        mmnetaug.load_weights(saved[0], tmp_path / 'odd.pth')


@pytest.mark.parametrize('save', [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_pickle_with_code_is_refused_and_not_run(saved, tmp_path, save):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    save({'state_dict': Intruder(trace)}, path)
    with pytest.raises(InputError, match='could run code'):
        mmnetaug.load_weights(saved[0], path)
    assert not trace.exists()


def test_no_export_stays_beside_one_of_newer_weights(tmp_path):
    names = 'export.pth', 'export.safetensors'
    for seed, both in ((0, False), (1, True), (2, False)):
        torch.manual_seed(seed)
        write_exports(tmp_path, torch.nn.Linear(2, 2), {}, both)
        states = [read_checkpoint(tmp_path / name)['state_dict'] for name in names if (tmp_path / name).exists()]
        assert len(states) == (2 if seed else 1)
        assert all(torch.equal(state['weight'], states[0]['weight']) for state in states)


def test_safetensors_hold_what_an_export_holds(saved, tmp_path):
    network, path = saved[0], tmp_path / 'export.safetensors'
    meta = {
        'arch': 'mobilenetv2_tiny',
        'config': {'scale': (224, 224), 'nested': [{'keys': ('a', ())}], 'nothing': None},
    }
    state = network.state_dict()
    state['twin'] = next(iter(state.values()))  # one storage, two names
    write_export(path, state, meta)
    assert not list(tmp_path.glob('*.partial'))
    with safetensors.safe_open(path, 'pt') as file:
        assert json.loads(file.metadata()['mmnetaug'])['arch'] == 'mobilenetv2_tiny'
    loud, bare = path.with_suffix('.SAFETENSORS'), path.with_suffix('')
    for copy in (loud, bare):
        copy.write_bytes(path.read_bytes())
    for content in (
        *(read_checkpoint(place) for place in (path, loud, bare)),
        *(CheckpointLoader.load_checkpoint(str(place)) for place in (path, loud)),
    ):
        assert content['meta'] == {'version': 2, **meta} and content['state_dict'].keys() == state.keys()
        assert all(torch.equal(content['state_dict'][name], state[name]) for name in state)


@pytest.mark.parametrize('header', ['{', '[1]', '"x"', '[' * 100000])
def test_safetensors_with_a_damaged_header(tmp_path, header):
    safetensors.torch.save_file({'a': torch.zeros(1)}, tmp_path / 'x.safetensors', {'mmnetaug': header})
    with pytest.raises(InputError, match='says of itself under mmnetaug is'):
        read_checkpoint(tmp_path / 'x.safetensors')
