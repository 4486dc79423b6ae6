"""mmdet on a current PyTorch with mmcv-lite: what ``import mmnetaug`` mends, and what it leaves alone."""

import importlib
import multiprocessing.queues
import os
import pkgutil
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pickle import UnpicklingError
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.hooks import CheckpointHook
from mmengine.infer import BaseInferencer
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import Runner

import mmnetaug
from mmnetaug import compat
from mmnetaug.compat import config_text, openmp, package_configs
from mmnetaug.compat.mmcv_ops import OperatorStandIn
from mmnetaug.engine.cpu import start_worker
from mmnetaug.registry import mmdet_scope

COMPILED = not isinstance(importlib.import_module('mmcv._ext'), OperatorStandIn)
needs_stand_in = pytest.mark.skipif(COMPILED, reason='this environment has compiled mmcv operators')


def greedy_nms(boxes, scores, iou_threshold, offset):
    """The textbook loop, one pair of boxes at a time."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            width = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0]) + offset
            height = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1]) + offset
            inter = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0] + offset) * (b[3] - b[1] + offset) for b in (boxes[i], boxes[j])]
            if inter > iou_threshold * (sum(areas) - inter):
                break
        else:
            kept.append(i)
    return kept


def test_nms_by_hand():
    from mmcv.ops import nms

    # IoU of the first two: 8 x 10 shared / 120 = 0.667; the third is elsewhere
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]])
    scores = torch.tensor([0.6, 0.9, 0.3])
    dets, kept = nms(boxes, scores, iou_threshold=0.6)
    assert kept.tolist() == [1, 2]
    torch.testing.assert_close(dets, torch.tensor([[2.0, 0, 12, 10, 0.9], [50, 50, 60, 60, 0.3]]))
    assert nms(boxes, scores, iou_threshold=0.7)[1].tolist() == [1, 0, 2]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('iou_threshold', [0.0, 0.3, 0.5, 0.8])
def test_nms_agrees_with_textbook_loop(offset, iou_threshold):
    from mmcv.ops import nms

    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (300, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 60, (300, 2))]).astype(np.float32)
    scores = rng.permutation(300).astype(np.float32) / 300
    dets, kept = nms(boxes, scores, iou_threshold, offset=offset)
    assert kept.tolist() == greedy_nms(boxes.astype(float), scores, iou_threshold, offset)
    assert isinstance(dets, np.ndarray) and (np.diff(dets[:, 4]) <= 0).all()


def test_nms_of_nothing_and_of_empty_boxes():
    from mmcv.ops import nms

    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].tolist() == []
    # boxes of zero area overlap nothing, not even their equal
    boxes = torch.tensor([[5.0, 5, 5, 9], [5, 5, 5, 9], [0, 0, 10, 10]])
    assert nms(boxes, torch.tensor([0.1, 0.3, 0.2]), 0.5)[1].tolist() == [1, 2, 0]


@needs_stand_in
def test_missing_operator_names_itself_and_the_cure():
    from mmcv.ops import RoIAlign

    with pytest.raises(NotImplementedError, match=r"'roi_align_forward' needs .* pip install mmcv"):
        RoIAlign(2)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5))


@needs_stand_in
def test_stand_in_looks_like_a_module():
    assert importlib.util.find_spec('mmcv._ext').name == 'mmcv._ext'
    assert not hasattr(sys.modules['mmcv._ext'], '__path__')


def test_compiled_operators_are_left_alone():
    script = """
        import sys
        from types import ModuleType

        class Compiled(ModuleType):
            def __getattr__(self, name):
                if name.startswith('__'):
                    raise AttributeError(name)
                return len

        compiled = sys.modules['mmcv._ext'] = Compiled('mmcv._ext')
        import mmnetaug
        import mmcv.ops
        assert sys.modules['mmcv._ext'] is compiled
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(script)], check=True)


def test_absent_mmdet_is_said_plainly():
    script = """
        import importlib.util
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *args: None if name == 'mmdet' else find_spec(name, *args)
        import mmnetaug
        try:
            mmnetaug.TinyNet
        except ImportError as error:
            assert 'needs mmdet, not installed here' in str(error) and 'pip install' in str(error)
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(script)], check=True)


class Line(torch.nn.Module):
    """The smallest model that MMEngine's runner trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def train_step(self, data, optim_wrapper):
        loss = (self.weight - torch.stack(data).mean()).square().sum()
        optim_wrapper.update_params(loss)
        return {'loss': loss.detach()}


def train_line(work_dir, epochs, resume):
    runner = Runner(
        Line(),
        work_dir=str(work_dir),
        train_dataloader={
            'dataset': [torch.ones(1)] * 4,
            'sampler': {'type': 'DefaultSampler'},
            'batch_size': 2,
            'collate_fn': {'type': 'pseudo_collate'},
        },
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}},
        param_scheduler={'type': 'CosineAnnealingLR', 'T_max': 4, 'end': 4},
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        log_level='ERROR',
        resume=resume,
        experiment_name=f'line{epochs}{resume}',
    )
    runner.train()
    return runner


def test_a_checkpoint_of_mmengine_resumes(tmp_path):
    whole = train_line(tmp_path / 'whole', epochs=4, resume=False)
    train_line(tmp_path / 'parts', epochs=2, resume=False)
    resumed = train_line(tmp_path / 'parts', epochs=4, resume=True)
    assert resumed.epoch == 4 and resumed.iter == 8
    assert torch.equal(resumed.model.weight, whole.model.weight)
    checkpoint = torch.load(tmp_path / 'parts' / 'epoch_4.pth', weights_only=True)
    assert not checkpoint['message_hub']['log_scalars'], 'the history of logged values stays out'


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    train_line(tmp_path / 'run', epochs=2, resume=False)
    path, ran = tmp_path / 'run' / 'epoch_2.pth', tmp_path / 'ran'
    checkpoint = torch.load(path)
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path({str(ran)!r}).touch()'
    torch.save(checkpoint, path)
    resumed = train_line(tmp_path / 'run', epochs=4, resume=True)
    assert resumed.epoch == 4 and not ran.exists()


def test_no_safe_global_allocates(tmp_path):
    """Importing the package declares nothing safe to load: an array in a checkpoint is refused."""
    declared = [each[0] if isinstance(each, tuple) else each for each in torch.serialization.get_safe_globals()]
    others = [each for each in declared if not each.__module__.startswith('torch')]  # exceptions and their traces
    assert all(each.__module__ in ('builtins', 'traceback') and isinstance(each, type) for each in others)
    torch.save({'state_dict': {}, 'array': np.zeros(3)}, tmp_path / 'array.pth')
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / 'array.pth')


@pytest.mark.parametrize('call', [(print, ('code runs',)), (getattr, (np.ndarray, 'tofile'))])
def test_code_in_a_checkpoint_is_still_refused(tmp_path, call):
    class Harmful:
        def __reduce__(self):
            return call

    torch.save({'state_dict': {}, 'extra': Harmful()}, tmp_path / 'harmful.pth')
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / 'harmful.pth')


def ssd_head(cls=None):
    from mmdet.models.dense_heads import SSDHead

    init_default_scope('mmdet')
    return (cls or SSDHead)(
        num_classes=2,
        in_channels=(4, 4),
        anchor_generator={
            'type': 'SSDAnchorGenerator',
            'scale_major': False,
            'strides': [16, 32],
            'ratios': [[2], [2]],
            'min_sizes': [10, 20],
            'max_sizes': [20, 30],
        },
        test_cfg=ConfigDict(nms_pre=10, nms={'type': 'nms', 'iou_threshold': 0.45}, score_thr=0.02, max_per_img=5),
    )


def test_ssd_head_predicts():
    head = ssd_head()
    scores, boxes = head((torch.randn(1, 4, 4, 4), torch.randn(1, 4, 2, 2)))
    (found,) = head.predict_by_feat(
        scores, boxes, batch_img_metas=[{'img_shape': (64, 64), 'scale_factor': (1.0, 1.0)}]
    )
    assert found.bboxes.shape == (5, 4) and set(found.labels.tolist()) <= {0, 1}


def test_a_head_with_its_own_loss_keeps_it():
    from mmdet.models.dense_heads import SSDHead

    class MendedHead(SSDHead):
        def _init_layers(self):
            super()._init_layers()
            self.loss_cls = torch.nn.CrossEntropyLoss()

    assert isinstance(ssd_head(MendedHead).loss_cls, torch.nn.CrossEntropyLoss)


@pytest.mark.parametrize('loader', [{}, {'test_dataloader': {'collate_fn': 'pseudo_collate'}}])
def test_inferencers_take_the_functions_that_runners_take(loader):
    inferencer = SimpleNamespace(scope='mmdet')
    init = BaseInferencer._init_collate
    assert init(inferencer, Config(loader)) is pseudo_collate, 'which MMEngine takes itself'
    config = Config.fromfile('configs/det/ssdlite_baseline_voc.py')
    assert init(inferencer, config).func is mmnetaug.datasets.collate_detection
    config.test_dataloader.collate_fn = {'type': pseudo_collate}
    assert init(inferencer, config)([{'a': 1}, {'a': 2}]) == {'a': [1, 2]}


def test_configs_of_packages_are_found_without_pkg_resources(tmp_path):
    """``'PACKAGE::FILE'``, of mmdet's wheel, which has its configs in ``.mim``, and of ours, wherever they are."""
    (tmp_path / 'retinanet.py').write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'")
    (tmp_path / 'ours.py').write_text("_base_ = ['mmnetaug::det/ssdlite_baseline_voc.py']\nroot = _base_.data_root")
    assert Config.fromfile(tmp_path / 'retinanet.py').model.bbox_head.type == 'RetinaHead'
    ours = Config.fromfile(tmp_path / 'ours.py')
    assert ours.model == Config.fromfile('configs/det/ssdlite_baseline_voc.py').model
    assert ours.root == 'data/VOCdevkit/' and '_scope_' not in ours.pretty_text
    (tmp_path / 'none.py').write_text("_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'")
    with pytest.raises(ModuleNotFoundError, match='mmpretrain is not installed'):
        Config.fromfile(tmp_path / 'none.py')
    assert package_configs.package_folder('mmdet') == os.path.dirname(importlib.import_module('mmdet').__file__)
    assert package_configs.package_folder('mmcv-lite') == os.path.dirname(importlib.import_module('mmcv').__file__)
    with pytest.raises(ModuleNotFoundError, match='nowhere is not installed'):
        package_configs.package_folder('nowhere')


def test_threads_leave_the_scope_of_the_program():
    init_default_scope('mmengine')
    entered, left = threading.Event(), threading.Event()

    def first():
        with mmdet_scope():
            entered.set()
            time.sleep(0.1)
        left.set()

    def second():
        entered.wait(5)
        with mmdet_scope():
            assert DefaultScope.get_current_instance().scope_name == 'mmdet'
            left.wait(5)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    assert DefaultScope.get_current_instance().scope_name == 'mmengine'


def test_applying_twice_changes_nothing():
    from mmdet.models.dense_heads import SSDHead

    before = SSDHead.__init__, sys.modules['mmcv._ext'], list(sys.meta_path)
    mmnetaug.compat.install()
    assert (SSDHead.__init__, sys.modules['mmcv._ext'], sys.meta_path) == before


@pytest.mark.parametrize('first', ['', 'import mmdet, mmengine.runner'])
def test_the_order_of_imports_does_not_matter(first):
    """What is imported already is mended by ``import mmnetaug``, the rest when it is imported."""
    script = f"""
        {first}
        import mmnetaug
        assert {bool(first)} or 'torch' not in sys.modules
        from mmdet.models.dense_heads import SSDHead
        from mmengine.runner import Runner
        from mmengine.runner.checkpoint import CheckpointLoader
        assert SSDHead.__init__.__wrapped__ and Runner.load_checkpoint.__wrapped__
        assert CheckpointLoader._get_checkpoint_loader('a.safetensors').__name__ == 'load_safetensors'
        from mmdet.registry import MODELS
        assert MODELS.get('mmnetaug.TinyNet') is mmnetaug.TinyNet
    """
    subprocess.run([sys.executable, '-c', f'import sys\n{textwrap.dedent(script)}'], check=True)


def test_names_of_the_package():
    for name in mmnetaug.__all__:
        assert getattr(mmnetaug, name) is not None and name in dir(mmnetaug)
    with pytest.raises(AttributeError, match="no attribute 'TinyNets'"):
        _ = mmnetaug.TinyNets


class Unsendable(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, place):
        return lambda: place


def test_a_worker_that_cannot_send_ends_the_run():
    """As where ``/dev/shm`` is full; Python alone drops the item, and the loader waits for ever. Queues of the program
    around stay as they are."""
    feeder_error = multiprocessing.queues.Queue._on_queue_feeder_error
    start_worker(None, cv2.getNumThreads(), 0)  # this process is none of a loader's
    assert feeder_error.__module__ == 'multiprocessing.queues'
    assert multiprocessing.queues.Queue._on_queue_feeder_error is feeder_error
    prepare = partial(start_worker, None, cv2.getNumThreads())
    loader = torch.utils.data.DataLoader(
        Unsendable(), num_workers=1, collate_fn=list, timeout=60, worker_init_fn=prepare
    )
    with pytest.raises(RuntimeError, match=r'DataLoader worker .* exited unexpectedly'):
        next(iter(loader))


@pytest.mark.parametrize(
    'name', ['mmengine.utils.dl_utils.misc.mmcv_full_available', 'mmcv.utils.ext_loader.check_ops_exist']
)
def test_compiled_operators_are_found_on_python_3_14(monkeypatch, name):
    """Which has no ``pkgutil.find_loader``."""
    asks = pkgutil.resolve_name(name)
    module = sys.modules[asks.__module__]
    monkeypatch.setattr(module, 'pkgutil', getattr(module, 'pkgutil', None), raising=False)
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    compat._mend(module)
    assert asks()


def test_text_of_a_config_is_read_back_and_has_short_lines():
    config = Config.fromfile('configs/det/rtmdet_netaug_coco.py')
    config.odd = {'a b': [(1,), ('x' * 70, 'y' * 70)], 3: {'none': None, 'text': 'it\'s\n"so"'}}
    text = config.pretty_text
    assert Config.fromstring(text, '.py').to_dict() == config.to_dict()
    assert max(map(len, text.splitlines())) <= 120 and text.count('\n') > 100
    assert config_text.format_code(text) == text


@pytest.mark.parametrize(
    ('given', 'spins'),
    [({}, str(openmp.SPINS)), ({'OMP_WAIT_POLICY': 'ACTIVE'}, None), ({'GOMP_SPINCOUNT': '9'}, '9')],
)
def test_threads_wait_busily_for_a_short_while_unless_told_otherwise(monkeypatch, given, spins):
    for name in openmp.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    openmp.wait_shortly()
    assert os.environ.get('GOMP_SPINCOUNT') == spins
    monkeypatch.setenv('GOMP_SPINCOUNT', '')  # what is restored afterwards


def test_waiting_is_set_before_pytorch_is_there():
    code = (
        'import importlib.abc, os, sys\n'
        'class Watch(importlib.abc.MetaPathFinder):\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        "        if name == 'torch':\n"
        "            print(os.environ.get('GOMP_SPINCOUNT')), sys.exit()\n"
        'sys.meta_path.insert(0, Watch())\n'
        'import mmnetaug\n'
        'mmnetaug.TinyNet\n'
    )
    environment = {key: value for key, value in os.environ.items() if key not in openmp.SETTINGS}
    seen = subprocess.check_output([sys.executable, '-c', code], text=True, env=environment)
    assert seen.strip() == str(openmp.SPINS)


@pytest.mark.parametrize(
    ('name', 'rule'), [('AP50_11point', 'greater'), ('coco/AP', 'greater'), ('shape_loss', 'less')]
)
def test_mmengine_keeps_the_highest_ap(name, rule):
    assert CheckpointHook(save_best=name).rules == [rule]
    hook = CheckpointHook(save_best='auto')
    hook._init_rule(hook.rules, [name])  # after the first validation
    assert hook.rules == [rule]
