"""Weights of other libraries: they give the outputs that they gave there, and nothing of a file goes unnoticed."""

import functools
import hashlib
import http.server
import json
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers import ROOT, detector_config, sample
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from mmnetaug import InputError, build_network, load_weights
from mmnetaug.apis import weights as public
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import gray_options, pretrained_options
from mmnetaug.checkpoint import load_network, write_export
from mmnetaug.engine.hooks import DistillationHook
from mmnetaug.models import TinyNet


def backbone(arch, path, features=('stride32',)):
    model = TinyNet(arch, features, init_cfg={'type': 'Pretrained', 'checkpoint': str(path)})
    model.init_weights()
    return model.eval()


def close(found, expected, tolerance=1e-6):
    assert (found - expected).norm() < tolerance * expected.norm()


@pytest.fixture
def reference(shared):
    folder = shared / 'reference'

    def read(name):
        with np.load(folder / f'{name}_outputs.npz') as file:
            return {key: torch.from_numpy(file[key]) for key in file}

    return folder, read


@torch.no_grad()
def test_keras_gives_what_it_gave_with_symmetric_padding(reference):
    folder, read = reference
    expected = read('keras_mobilenetv2_w0.35')
    path = folder / 'keras_mobilenetv2_w0.35_no_top.h5'
    for arch in ('mobilenetv2_w0.35', 'mobilenetv2_tiny'):  # which differ behind a detector's backbone alone
        (last,) = backbone(arch, path)(expected['image'])
        close(last, expected['symmetric_padding_block17'], 2e-6)
    network = build_network('mobilenetv2_w0.35', 10).eval()
    with pytest.raises(InputError, match=r'classifier.weight: missing'):
        load_weights(network, path)
    network.classifier = torch.nn.Identity()
    load_weights(network, path)
    close(network(expected['image']), expected['symmetric_padding_pooled'], 1e-6)


@torch.no_grad()
@pytest.mark.parametrize('name', ['torchvision_mobilenet_v2_w0.35', 'timm_mobilenetv2_035'])
def test_equal_logits(reference, name, tmp_path):
    folder, read = reference
    expected = read(name)
    state = torch.load(folder / f'{name}.pth')
    safetensors.torch.save_file(state.get('state_dict', state), tmp_path / 'weights.safetensors')
    for path in (folder / f'{name}.pth', tmp_path / 'weights.safetensors'):
        network = build_network('mobilenetv2_w0.35', 10).eval()
        load_weights(network, path)
        close(network(expected['image']), expected['logits'])
        assert load_network(path, 10).arch.name == 'mobilenetv2_w0.35', 'a teacher needs no name'


@torch.no_grad()
def test_torchvisions_mobilenetv3_of_another_width(reference, tmp_path):
    folder, read = reference
    name = 'torchvision_mobilenet_v3_large_w0.75'
    expected = read(name)
    (last,) = backbone('mobilenetv3_w0.75', folder / f'{name}.pth')(expected['image'])
    close(last, expected['features'])
    # what is narrower there stays behind
    made = public.convert_weights(folder / f'{name}.pth', 'mobilenetv3_w0.75', tmp_path / 'export.pth')
    assert made['left_out'] == ['classifier', 'head.2.conv'] and made['num_classes'] is None
    (last,) = backbone('mobilenetv3_w0.75', tmp_path / 'export.pth')(expected['image'])
    close(last, expected['features'])


def randomise(model):
    """Weights and statistics that hide no mistake: nothing is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            scale = 0.1 if tensor.ndim == 1 else (2 / tensor[0].numel()) ** 0.5
            drawn = scale * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + drawn.abs() if name.endswith(('running_var', 'bn.weight')) else drawn)
    model.eval()  # which gives nothing back in mmdet
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ('theirs', 'arch', 'features'),
    [
        (
            {'type': 'mmdet.MobileNetV2', 'widen_factor': 0.5, 'act_cfg': {'type': 'ReLU6'}},
            'mobilenetv2_w0.5',
            (0, 1, 3, 4),
        ),
        ({'type': 'mmdet.ResNet', 'depth': 50}, 'resnet50', (0, 1, 2, 3)),
    ],
    ids=['MobileNetV2', 'ResNet50'],
)
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.'])
def test_mmdetections_own_give_the_same_maps(tmp_path, theirs, arch, features, prefix):
    options = {'out_indices': (1, 2, 4, 5)} if theirs['type'] == 'mmdet.MobileNetV2' else {}
    model = randomise(MODELS.build({**theirs, **options}))
    state = {f'{prefix}{name}': tensor for name, tensor in model.state_dict().items()}
    if prefix == 'backbone.':
        state['bbox_head.fc.weight'] = torch.zeros(3)  # of a detector, and none of our business
    torch.save({'state_dict': state}, tmp_path / 'theirs.pth')
    image = torch.randn(1, 3, 64, 64)
    expected, found = model(image), backbone(arch, tmp_path / 'theirs.pth', features)(image)
    for a, b in zip(found, expected):
        close(a, b, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.', 'model.', 'net.network.'])
def test_what_other_training_has_put_around_a_network_of_ours(tmp_path, prefix):
    network = randomise(build_network('mobilenetv2_nano', 3))
    state = {f'{prefix}{name}': tensor for name, tensor in network.state_dict().items()}
    torch.save({**state, 'n_averaged': torch.tensor(3)}, tmp_path / 'theirs.pth')
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(load_network(tmp_path / 'theirs.pth', 3).eval()(image), network(image))


def rename_for_mmpretrain(name):
    for part, number in {'expand_conv': 0, 'depthwise_conv': 1, 'linear_conv': 2}.items():
        if f'.{part}.' in name:
            first = name.startswith('layer1.')
            return name.replace(f'.{part}.', f'.conv.{number - first}.')
    return name


@torch.no_grad()
def test_mmpretrains_names(tmp_path):
    """Those of its MobileNetV2, whose blocks number their layers, are MMDetection's but for that."""
    model = randomise(MODELS.build({'type': 'mmdet.MobileNetV2', 'out_indices': (6,), 'act_cfg': {'type': 'ReLU6'}}))
    state = {f'backbone.{rename_for_mmpretrain(name)}': tensor for name, tensor in model.state_dict().items()}
    state |= {'head.fc.weight': torch.randn(5, 1280), 'head.fc.bias': torch.randn(5)}
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'mmpretrain.pth')
    network = build_network('mobilenetv2_w1.0', 5).eval()
    load_weights(network, tmp_path / 'mmpretrain.pth')
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network.classifier.weight, state['head.fc.weight'])
    close(network.stages(network.stem(image)), model.layer6(model.layer5(model.layer4(model.layer3(model.layer2(
        model.layer1(model.conv1(image))))))), 1e-5)  # fmt: skip
    (block,) = model(image)
    close(network.head[0](network.stages(network.stem(image))), block, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize('alpha', [0.5, 1.0])
def test_keras_itself_with_its_padding(tmp_path, monkeypatch, alpha):
    """Other widths and the newer formats, against Keras' own outputs."""
    monkeypatch.setenv('KERAS_BACKEND', 'torch')
    keras = pytest.importorskip('keras')
    model = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=alpha, weights=None, include_top=False)
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(1 + 0.1 * rng.standard_normal(w.shape)).astype(np.float32) if w.ndim == 1 else w
                       for w in model.get_weights()])  # fmt: skip
    model.save(tmp_path / 'whole.keras')
    model.save_weights(tmp_path / 'some.weights.h5')
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    expected = torch.as_tensor(model(image.permute(0, 2, 3, 1)).detach()).permute(0, 3, 1, 2)
    for name in ('whole.keras', 'some.weights.h5'):
        network = build_network(f'mobilenetv2_w{alpha}', 10, padding='tf').eval()
        network.classifier = torch.nn.Identity()
        load_weights(network, tmp_path / name)
        close(network.head[1](network.head[0](network.stages(network.stem(image)))), expected, 1e-5)


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ('mobilenetv2_w0.5', r'weights of mobilenetv2_w0\.35 \(torchvision\), not of mobilenetv2_w0\.5: take --arch '),
        ('mcunet', r'weights of mobilenetv2_w0\.35 \(torchvision\), not of mcunet: take --arch mobilenetv2_w0\.35'),
        ('mobilenetv3_w0.35', r'not of mobilenetv3_w0\.35'),
    ],
)
def test_weights_of_another_network(reference, arch, message):
    folder, _ = reference
    with pytest.raises(InputError, match=message):
        load_weights(build_network(arch, 10), folder / 'torchvision_mobilenet_v2_w0.35.pth')


@pytest.mark.parametrize('arch', ['mcunet', 'mobilenetv2_nano', 'mobilenetv3_w0.35', 'resnet14_w0.5', 'resnet50'])
def test_our_own_weights_tell_their_network(tmp_path, arch):
    path = tmp_path / 'weights.pth'
    torch.save({'model': build_network(arch, 4).state_dict()}, path)
    assert load_network(path, 4).arch.name == arch
    with pytest.raises(InputError, match=rf'has weights of {arch}, not of mobilenetv2_w0\.35: take --arch {arch}'):
        load_weights(build_network('mobilenetv2_w0.35', 4), path)


def test_weights_of_an_unknown_network_whose_stem_is_called_as_ours(tmp_path):
    with DefaultScope.overwrite_default_scope('mmdet'):
        other = MODELS.build({'type': 'CSPNeXt', 'widen_factor': 0.5, 'norm_cfg': {'type': 'BN'}})
    path = tmp_path / 'cspnext.pth'
    torch.save({'state_dict': {f'backbone.{name}': each for name, each in other.state_dict().items()}}, path)
    for arch in ('mobilenetv2_w0.35', 'mobilenetv2_w1.0'):
        with pytest.raises(InputError, match='has weights of an unknown network'):
            load_weights(build_network(arch, 4), path)
    with pytest.raises(InputError, match='does not tell of which network it is'):
        load_network(path, 4)


def keras_names(path):
    """A file that is Keras' by the names of its tensors."""
    torch.save({'Conv1.weight': torch.zeros(1), 'block_1_expand.weight': torch.zeros(1)}, path)
    return path


def test_keras_weights_get_pixels_from_minus_one_to_one(voc, tmp_path):
    pixels = [torch.tensor([0, 255, 127], dtype=torch.uint8)[:, None, None].expand(3, 96, 96).contiguous()]
    for path, expected in (
        (keras_names(tmp_path / 'keras.pth'), [-1, 1, -0.5 / 127.5]),
        (tmp_path / 'nowhere.pth', [-123.675 / 58.395, (255 - 116.28) / 57.12, (127 - 103.53) / 57.375]),
    ):
        config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc')
        config.merge_from_dict(pretrained_options(config, str(path), 'mobilenetv2_w0.1'))
        config.model.data_preprocessor.bgr_to_rgb = False
        with DefaultScope.overwrite_default_scope('mmdet'):
            preprocessor = MODELS.build(config.model.data_preprocessor)
        (image,) = preprocessor({'inputs': pixels, 'data_samples': [sample(96)]})['inputs']
        assert image[:, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)
        gray = gray_options(config)
        assert gray['model.data_preprocessor.mean'] == ([127.5] if expected[0] == -1 else [117.04])
    other = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc')
    other.model.backbone = {'type': 'mmdet.ResNet', 'depth': 18}
    with pytest.raises(InputError, match=r'--pretrained imagenet is for our backbones .*this one is mmdet.ResNet'):
        pretrained_options(other, 'imagenet', None)


@torch.no_grad()
@pytest.mark.parametrize(
    ('preprocessor', 'expected'),
    [
        (
            {'mean': [127.5] * 3, 'std': [127.5] * 3, 'bgr_to_rgb': True},
            lambda pixels, ours: pixels.flip(1) / 127.5 - 1,
        ),
        ({'mean': [0, 10, 20], 'std': [1, 2, 4]}, lambda pixels, ours: (pixels - BGR[0]) / BGR[1]),
        ({}, lambda pixels, ours: pixels),
        ({'mean': [0.0] * 3, 'std': [0, 0, 0]}, lambda pixels, ours: ours),  # which nobody can have trained with
        ({'mean': torch.zeros(3)}, lambda pixels, ours: ours),
        (None, lambda pixels, ours: ours),
    ],
)
def test_a_teacher_gets_pixels_as_it_was_trained(tmp_path, preprocessor, expected):
    config = read_config(ROOT / 'configs/pretrain/baseline_mbv2_nano_cifar100.py', 'pretrain')
    config.model.num_classes = 2
    teacher = build_network('mobilenetv2_nano', 2)
    recipe = {'model': {'data_preprocessor': preprocessor}}
    write_export(tmp_path / 'export.pth', teacher, {'arch': 'mobilenetv2_nano', 'recipe': recipe})
    dataset = SimpleNamespace(metainfo={'classes': ['cat', 'dog']})
    runner = SimpleNamespace(model=MODELS.build(config.model), train_dataloader=SimpleNamespace(dataset=dataset))
    hook = DistillationHook(str(tmp_path / 'export.pth'))
    hook.before_train(runner)
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    ours = runner.model.data_preprocessor({'inputs': list(pixels)})['inputs']
    hook._ask(ours, None)
    close(hook.logits, teacher.eval()(expected(pixels.float(), ours)), 1e-4)


BGR = torch.tensor([[0.0, 10, 20], [1, 2, 4]])[:, :, None, None]


def test_a_detector_starts_with_the_pixels_of_an_earlier_one(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc')
    for preprocessor, gray in (
        ({'mean': [127.5] * 3, 'std': [127.5] * 3, 'bgr_to_rgb': True}, [127.5]),
        ({'mean': [1.0, 2.0, 3.0], 'std': [1.0, 1.0, 2.0], 'bgr_to_rgb': False}, [117.04]),
    ):
        content = {'config': {'model': {'data_preprocessor': preprocessor}}, 'classes': ['cat', 'dog']}
        torch.save({'state_dict': {}, 'meta': content}, tmp_path / 'export.pth')
        config.merge_from_dict(pretrained_options(config, str(tmp_path / 'export.pth'), 'mobilenetv2_w0.1'))
        assert {name: config.model.data_preprocessor[name] for name in preprocessor} == preprocessor
        assert gray_options(config)['model.data_preprocessor.mean'] == gray


def test_weights_of_nobody(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({'encoder.0.weight': torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r'unknown network .*encoder\.0\.weight.*: expected an export of ours.*Keras'):
        load_weights(build_network('mobilenetv2_w0.35', 4), path)
    with pytest.raises(InputError, match='does not tell of which network it is'):
        load_network(path, 4)
    supernet = {'state_dict': {'stem.0.conv.weight': torch.zeros(3)}, 'mmnetaug': {'supernet': True}}
    torch.save(supernet, path)
    with pytest.raises(InputError, match=r'NetAug supernet.*: use the export\.pth beside it'):
        load_weights(build_network('mobilenetv2_w0.35', 4), path)


def test_a_tensor_that_nobody_knows(reference, tmp_path):
    folder, _ = reference
    state = torch.load(folder / 'timm_mobilenetv2_035.pth')
    state = dict(state.get('state_dict', state))
    torch.save({**state, 'blocks.1.0.attn.weight': torch.zeros(1)}, tmp_path / 'more.pth')
    with pytest.raises(InputError, match=r'1 tensors that are not known, first blocks.1.0.attn.weight'):
        load_weights(build_network('mobilenetv2_w0.35', 10), tmp_path / 'more.pth')
    del state['blocks.2.1.bn2.running_mean']
    torch.save(state, tmp_path / 'fewer.pth')
    with pytest.raises(InputError, match=r'stages.1.1.spatial.norm.running_mean: missing'):
        load_weights(build_network('mobilenetv2_w0.35', 10), tmp_path / 'fewer.pth')


def test_files_that_are_none(reference, tmp_path):
    import h5py

    folder, _ = reference
    whole = (folder / 'keras_mobilenetv2_w0.35_no_top.h5').read_bytes()
    (tmp_path / 'half.h5').write_bytes(whole[: len(whole) // 2])
    with h5py.File(tmp_path / 'other.h5', 'w') as file:
        file['numbers'] = np.arange(3)
    with h5py.File(tmp_path / 'empty.h5', 'w'):
        pass
    with h5py.File(tmp_path / 'huge.h5', 'w') as file:
        layer = file.create_group('Conv1/Conv1')
        layer.create_dataset('kernel:0', (10**7, 10**7), 'f4', chunks=(1, 100))  # of which nothing is there
        file.attrs['layer_names'], file['Conv1'].attrs['weight_names'] = ['Conv1'], ['Conv1/kernel:0']
    with zipfile.ZipFile(tmp_path / 'odd.keras', 'w') as archive:
        archive.writestr('config.json', json.dumps({}))
    (tmp_path / 'half.safetensors').write_bytes(b'\x10\x00\x00\x00\x00\x00\x00\x00{"a"')
    for name, message in {
        'half.h5': 'cannot be read as a Keras file.*fetch it again',
        'other.h5': 'cannot be read as a Keras file',
        'empty.h5': 'without layers of Keras: expected the weights of MobileNetV2',
        'huge.h5': 'cannot be read as a Keras file.*llocate',
        'odd.keras': 'cannot be read as a Keras file',
        'half.safetensors': 'cannot be read as safetensors.*fetch it again',
    }.items():
        with pytest.raises(InputError, match=message):
            load_weights(build_network('mobilenetv2_w0.35', 10), tmp_path / name)


@pytest.mark.parametrize(
    ('arch', 'size', 'name'),
    [
        ('mobilenetv2_w0.35', 320, 'kernels_0.35_224_no_top.h5'),
        ('mobilenetv2_w0.35', 144, 'kernels_0.35_160_no_top.h5'),
        ('mobilenetv2_w0.50', 96, 'kernels_0.5_96_no_top.h5'),
        ('mobilenetv2_tiny', 96, 'kernels_0.35_96_no_top.h5'),
        ('mobilenetv2_w1.4', 96, 'kernels_1.4_224_no_top.h5'),
        ('mobilenetv2_w1.0', 96, 'mobilenet_v2-7ebf99e0.pth'),
        ('mobilenetv3_w1.0', 96, 'mobilenet_v3_large-5c1a4163.pth'),
        ('resnet50', 96, 'resnet50-0676ba61.pth'),
    ],
)
def test_the_right_public_file(arch, size, name):
    assert public.imagenet_address(arch, size).endswith(name)


def test_nothing_is_published(tmp_path):
    with pytest.raises(
        InputError, match=r'no public ImageNet weights are known for mcunet: there are some for mobilenetv2'
    ):
        public.imagenet_address('mcunet', 96)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local server in place of the public ones, and an own folder for what is fetched."""
    folder = tmp_path / 'public'
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    running = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{running.server_port}/'
    monkeypatch.setattr(public, 'KERAS', address)
    monkeypatch.setattr(public, 'TORCHVISION', address)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    yield folder, asked
    running.shutdown()


def test_fetched_once_and_checked_ever_after(server, reference, tmp_path):
    folder, asked = server
    source = reference[0] / 'keras_mobilenetv2_w0.35_no_top.h5'
    name = 'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5'
    (folder / name).write_bytes(source.read_bytes())
    config = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
    for _ in range(2):
        config.merge_from_dict(pretrained_options(config, 'imagenet', 'mobilenetv2_w0.35'))
        path = config.model.backbone.init_cfg.checkpoint
        assert path == str(tmp_path / 'hub/checkpoints' / name)
    assert len([line for line in asked if name in line]) == 1
    digest = (tmp_path / 'hub/checkpoints' / f'{name}.sha256').read_text().strip()
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    backbone('mobilenetv2_w0.35', path)
    with open(path, 'r+b') as file:
        file.truncate(1000)
    with pytest.raises(InputError, match=r'damaged or half fetched: its SHA-256 .* Delete it'):
        public.fetch(public.KERAS + name)


def test_half_a_file_is_not_kept(server, reference):
    folder, _ = server
    name = 'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5'
    whole = (reference[0] / 'keras_mobilenetv2_w0.35_no_top.h5').read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r'or half of one; it was removed. Type the same again'):
        public.fetch(public.KERAS + name)
    (folder / name).write_bytes(whole)
    assert public.fetch(public.KERAS + name).read_bytes() == whole


def test_a_file_whose_name_tells_its_checksum(server):
    folder, _ = server
    (folder / 'resnet50-0676ba61.pth').write_bytes(b'something else')
    with pytest.raises(InputError, match=r'cannot be fetched .*invalid hash value'):
        public.fetch(public.imagenet_address('resnet50', 224))


def test_without_a_network(server, tmp_path):
    message = (
        r'mobilenet_v2-7ebf99e0.pth cannot be fetched .*404.* put it at .*hub/checkpoints/mobilenet_v2-7ebf99e0.pth'
    )
    with pytest.raises(InputError, match=message):
        public.fetch(public.imagenet_address('mobilenetv2_w1.0', 224))
