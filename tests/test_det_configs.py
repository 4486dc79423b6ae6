"""Configs of detectors are complete: MMDetection runs them, and what an option does a config can hold."""

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers import ROOT, detector_config, write_coco, write_voc
from mmengine.config import Config
from mmengine.runner import Runner

from mmnetaug import InputError, build_network
from mmnetaug.apis.config import import_custom, merge_cfg_options, read_config
from mmnetaug.apis.image_sizes import image_size, size_options
from mmnetaug.apis.overrides import detection_data_options, own_data_options
from mmnetaug.apis.train import train_detector

CONFIGS = sorted((ROOT / 'configs/det').glob('*.py'))
MMDET_TOOLS = Path(find_spec('mmdet').origin).parent / '.mim' / 'tools'


def nothing_left_open(value, place=''):
    assert value is not None, f'{place} is None'
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, each in below:
        nothing_left_open(each, f'{place}.{key}')


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Small data where MMDetection's users have Pascal VOC and COCO, and an export of each pretraining."""
    boxes = [('cat', 11, 11, 31, 31, 0), ('dog', 30, 20, 60, 44, 0)]
    write_voc(tmp_path / 'data/VOCdevkit/VOC2007', dict.fromkeys('abcdef', boxes), {'trainval': 'abcd', 'test': 'ef'})
    write_voc(tmp_path / 'data/VOCdevkit/VOC2012', dict.fromkeys('gh', boxes), {'trainval': 'gh'})
    categories = read_config(ROOT / 'configs/det/ssdlite_baseline_coco.py', 'det').model.bbox_head.num_classes
    assert categories == 80
    names = list(__import__('mmdet.datasets').datasets.CocoDataset.METAINFO['classes'])
    for split in ('train2017', 'val2017'):
        images = {f'{name}.jpg': [(16, 10, 10, 20, 20), (17, 30, 20, 30, 24)] for name in 'abcd'}
        write_coco(tmp_path / 'data/coco', split, images, names)
    for kind in ('baseline', 'netaug'):
        (tmp_path / f'work_dirs/{kind}_mbv2').mkdir(parents=True)
        torch.save({'state_dict': build_network('mobilenetv2_w0.35').state_dict()}, f'{tmp_path}/{EXPORT.format(kind)}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXPORT = 'work_dirs/{}_mbv2/export.pth'


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_stock_runner_builds_every_config(data, path):
    config = Config.fromfile(path)
    nothing_left_open(config.to_dict())
    config.work_dir = str(data / 'run')
    config.train_dataloader.batch_size = 2
    config.experiment_name = path.stem
    runner = Runner.from_cfg(config)
    assert len(runner.build_train_loop(config.train_cfg).dataloader.dataset) == (4 if path.stem.endswith('coco') else 6)
    assert len(runner.build_val_loop(config.val_cfg).dataloader.dataset) == (4 if path.stem.endswith('coco') else 2)
    runner.build_test_loop(config.test_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    assert len(runner.build_param_scheduler(config.param_scheduler)) == 2
    runner.model.init_weights()
    kind = 'netaug' if '_netaug' in path.stem else 'baseline'
    expected = torch.load(EXPORT.format(kind))['state_dict']['stem.0.conv.weight']
    assert torch.equal(runner.model.backbone.stem[0].conv.weight, expected)
    assert any('DetectionMixupHook' in str(hook) for hook in runner.hooks) == ('mixup' in path.stem)


def mmdet_tool(name, *args, first=''):
    """One of the tools that MMDetection's wheel ships, in a process of its own."""
    code = f'{first}import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
    command = [sys.executable, '-c', code, str(MMDET_TOOLS / f'{name}.py'), *map(str, args)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def weights(path):
    return torch.load(path)['state_dict']


def test_mmdetections_tools_repeat_our_run(data):
    """The file in the work directory is a complete config; train.py and test.py of MMDetection run it."""
    config = detector_config(data / 'data/VOCdevkit', data / 'ours', 'ssdlite_baseline_voc', epochs=1)
    config.model.backbone.arch = 'mobilenetv2_w0.35'
    config.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': EXPORT.format('baseline')}
    config.default_hooks.checkpoint.interval = 1
    result = train_detector(config)
    (dumped,) = (data / 'ours').glob('*.py')
    nothing_left_open(Config.fromfile(dumped).to_dict())
    mmdet_tool('train', dumped, '--work-dir', data / 'theirs')
    ours, theirs = (weights(data / run / 'epoch_1.pth') for run in ('ours', 'theirs'))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    tested = mmdet_tool(
        'test', dumped, data / 'theirs/epoch_1.pth', '--work-dir', data / 'test', first='import mmnetaug; '
    )
    assert f'AP50_area: {result["AP50_area"]:.4f}' in tested


def config_of_tool(monkeypatch, *args):
    """The config that ``tools/train.py`` would train."""
    found = []
    monkeypatch.setattr(
        'mmnetaug.apis.train.train_detector', lambda config, command: found.append(config) or SystemExit
    )
    monkeypatch.setattr('mmnetaug.apis.train.summary', lambda result: '')
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', *map(str, args)])
    with pytest.raises(TypeError):  # what stands for the result is none
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    config = found[0].to_dict()
    return json.dumps({key: config[key] for key in sorted(config) if key not in ('work_dir', 'launcher', 'resume')})


BASE = ROOT / 'configs/det/ssdlite_baseline_voc.py'
# Options of tools/train.py -> what a user would write instead: in a config, or as --cfg-options.
CHILDREN = {
    '--pretrained none': ('', 'model.backbone.init_cfg=None'),
    '--pretrained mine.pth': ("model = dict(backbone=dict(init_cfg=dict(checkpoint='mine.pth')))", ''),
    '--pretrained netaug': ('', 'model.backbone.init_cfg.checkpoint=work_dirs/netaug_mbv2/export.pth'),
    '--arch mobilenetv2_tiny': (
        "model = dict(backbone=dict(arch='mobilenetv2_tiny', "
        "init_cfg=dict(checkpoint='work_dirs/baseline_mbv2_tiny/export.pth')))",
        '',
    ),
    '--size 224': (
        'model = dict(neck=dict(size=224), bbox_head=dict(anchor_generator=dict(size=224)))',
        'train_dataloader.dataset.pipeline.4.scale=(224,224) val_dataloader.dataset.pipeline.2.scale=(224,224) '
        'test_dataloader.dataset.pipeline.2.scale=(224,224)',
    ),
    '--epochs 60': ('train_cfg = dict(max_epochs=60)', ''),
    '--epochs 2': ('', 'train_cfg.max_epochs=2 param_scheduler.0.end=1 param_scheduler.1.begin=1'),
    '--batch-size 4': ('train_dataloader = dict(batch_size=4)', ''),
    '--lr 0.01': ('optim_wrapper = dict(optimizer=dict(lr=0.01))', ''),
    '--backbone-lr-mult 0.2': (
        'optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))))',
        '',
    ),
    '--seed 7': ('randomness = dict(seed=7)', ''),
    '--safetensors': ('export_safetensors = True', ''),
    '--allow-overlap': ('', 'allow_overlap=True'),
    '--amp': ("optim_wrapper = dict(type='AmpOptimWrapper')", ''),
    '--workers 0': (
        '\n'.join(
            f'{name}_dataloader = dict(num_workers=0, persistent_workers=False)' for name in ('train', 'val', 'test')
        ),
        '',
    ),
    '--mixup': ("custom_hooks = [dict(type='mmnetaug.DetectionMixupHook', alpha=1.5, unmixed=0.1)]", ''),
    '--data-root {voc}': (
        'model = dict(bbox_head=dict(num_classes=2))\n'
        "train_dataloader = dict(dataset=dict(data_root='{voc}', ann_file=['ImageSets/Main/trainval.txt'], "
        "metainfo=dict(classes=['cat', 'dog'])))\n"
        "val_dataloader = dict(dataset=dict(data_root='{voc}', ann_file=['ImageSets/Main/test.txt'], "
        "metainfo=dict(classes=['cat', 'dog'])))\n"
        "test_dataloader = val_dataloader\nval_evaluator = [dict(type='mmnetaug.VOCAveragePrecision')]",
        '',
    ),
    '--data-root {voc} --classes dog': (
        'model = dict(bbox_head=dict(num_classes=1))\n'
        "train_dataloader = dict(dataset=dict(data_root='{voc}', ann_file=['ImageSets/Main/trainval.txt'], "
        "metainfo=dict(classes=['dog'])))\n"
        "val_dataloader = dict(dataset=dict(data_root='{voc}', ann_file=['ImageSets/Main/test.txt'], "
        "metainfo=dict(classes=['dog'])))\n"
        'test_dataloader = val_dataloader',
        '',
    ),
}


@pytest.mark.parametrize('options', CHILDREN)
def test_an_option_is_what_a_config_can_hold(voc, tmp_path, monkeypatch, options):
    text, changes = (part.replace('{voc}', str(voc)) for part in CHILDREN[options])
    (tmp_path / 'child.py').write_text(f"_base_ = ['{BASE}']\n{text}\n")
    by_option = config_of_tool(monkeypatch, BASE, *options.replace('{voc}', str(voc)).split())
    written = [tmp_path / 'child.py', *(['--cfg-options', *changes.split()] if changes else [])]
    assert config_of_tool(monkeypatch, *written) == by_option
    assert config_of_tool(monkeypatch, BASE) != by_option


def test_a_config_with_mixup_can_go_without(monkeypatch):
    mixup = BASE.with_name('ssdlite_baseline_mixup_voc.py')
    without = json.loads(config_of_tool(monkeypatch, mixup, '--no-mixup'))
    assert without.pop('custom_hooks') == [] and without == json.loads(config_of_tool(monkeypatch, BASE))


def test_options_of_a_detector_trained_at_several_sizes(monkeypatch):
    base = BASE.with_name('yolov3_baseline_coco.py')
    changed = json.loads(config_of_tool(monkeypatch, base, '--size', 320, '--epochs', 28))
    (resize,) = changed['model']['data_preprocessor']['batch_augments']
    assert resize['random_size_range'] == [256, 480], '320 and 608 of 416, in steps of 32'
    assert changed['train_dataloader']['dataset']['pipeline'][4]['scale'] == [480, 480]
    assert changed['model']['bbox_head']['anchor_generator']['size'] == 320
    assert changed['param_scheduler'][1]['milestones'] == [22, 25]


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.bbox_head.num_clases=3', r'no model.bbox_head.num_clases; did you mean model.bbox_head.num_classes'),
        ('train_dataloader.datset.data_root=x', r'no train_dataloader.datset; did you mean train_dataloader.dataset'),
        ('epochs=3', r'the config has no epochs; did you mean'),
        ('pos_iou_thr=0.5', r'did you mean model.train_cfg.assigner.pos_iou_thr'),
        ('param_scheduler.7.end=3', r'param_scheduler is a list, expected a number from 0 to 1'),
        ('randomness.seed.deep=3', r'randomness.seed is 0, which has nothing below it'),
        ('no_value', 'expected KEY=VALUE'),
        ('model=1', r'model has parts, expected some below it \(model\.NAME=VALUE\)'),
        ('visualizer.vis_backends.1=None', r'vis_backends\.1 has parts, expected some below it'),
        ('model=None', 'model has parts'),
        ('train_dataloader=3', 'train_dataloader has parts'),
        ('test_evaluator=1', 'test_evaluator has parts'),
        ('optim_wrapper.clip_grad.max_norm=abc', 'max_norm=abc: expected a value such as 10.0, not text'),
        ('model.test_cfg.score_thr=abc', r'score_thr=abc: expected a value such as 0\.02, not text'),
        ('test_dataloader.batch_size=abc', 'expected a value such as 8, not text'),
    ],
)
def test_an_option_that_is_none(option, message):
    with pytest.raises(InputError, match=message):
        merge_cfg_options(read_config(BASE, 'det'), [option])


@pytest.mark.parametrize('option', ['train_cfg.val_interval=0', 'test_dataloader.batch_size=0'])
def test_numbers_out_of_range(voc, tmp_path, option):
    config = detector_config(voc, tmp_path / 'run')
    merge_cfg_options(config, [option])
    with pytest.raises(InputError, match=f'{option[:-2]} is 0: expected a whole number of at least 1'):
        train_detector(config)


@pytest.mark.parametrize('name', ['', '.foo', 'nowhere_to_be_found', 'wrong_syntax', 'fails'])
def test_modules_that_cannot_be_imported(tmp_path, monkeypatch, name):
    (tmp_path / 'wrong_syntax.py').write_text('1 +')
    (tmp_path / 'fails.py').write_text('1 / 0')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r'--custom-imports .*: \w+Error: .* Expected a Python module'):
        import_custom([name])


@pytest.mark.parametrize(('launcher', 'command'), [('pytorch', 'torchrun'), ('slurm', 'srun'), ('mpi', 'mpirun')])
def test_a_launcher_that_did_not_start_the_process(voc, tmp_path, monkeypatch, launcher, command):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    config = detector_config(voc, tmp_path / 'run')
    config.launcher = launcher
    with pytest.raises(InputError, match=f'--launcher {launcher}: no .* Start it with `{command} '):
        train_detector(config)


def test_launchers_that_need_gpus(voc, tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_PROCID', '0')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    config = detector_config(voc, tmp_path / 'run')
    config.launcher = 'slurm'
    with pytest.raises(
        InputError, match=r'slurm needs a GPU for each process, .* take torchrun and --launcher pytorch'
    ):
        train_detector(config)


@pytest.mark.parametrize('option', ['--data-root', '--test-ann', '--work-dir', '--pretrained'])
def test_empty_paths(monkeypatch, capsys, option):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', str(BASE), option, ''])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    assert f'argument {option}: is empty: expected a path' in capsys.readouterr().err


def test_data_that_options_do_not_reach(voc):
    joined = read_config(ROOT / 'configs/det/ssdlite_netaug_voc.py', 'det')
    dataset = joined.train_dataloader.dataset
    joined.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': [dataset, dataset]}
    with pytest.raises(InputError, match=r'joins several data sets \(ConcatDataset\).*takes several image sets'):
        detection_data_options(joined, voc)


def test_classes_of_the_data_that_a_config_names(tmp_path):
    """Beside it lies what would be found in its folder."""
    for split in ('train2017', 'val2017', 'mine'):
        write_coco(tmp_path, split, {'a.jpg': [(1, 10, 10, 20, 20), (2, 30, 20, 20, 20)]})
    config = read_config(ROOT / 'configs/det/ssdlite_netaug_coco.py', 'det')
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[loader].dataset.data_root = str(tmp_path)
    options = own_data_options(config, ['dog'], True)
    assert options['model.bbox_head.num_classes'] == 1
    assert options['train_dataloader.dataset.metainfo'] == {'classes': ['dog']}
    assert options['train_dataloader.dataset.allow_outside']
    config.train_dataloader.dataset.ann_file = 'annotations/instances_mine.json'
    message = r'the config reads \S*instances_mine.json, and options of the data would .*_train2017.json: name'
    with pytest.raises(InputError, match=message):
        own_data_options(config, ['dog'], False)
    keys = [f'{loader}_dataloader.dataset.allow_outside' for loader in ('train', 'val', 'test')]
    assert own_data_options(config, None, True) == dict.fromkeys(keys, True)


def test_what_the_size_does_not_change():
    """Sides in pixels follow --size, wherever a pipeline stands; shares, cells and what is not set do not."""
    config = read_config(ROOT / 'configs/det/ssdlite_netaug_voc.py', 'det')
    before = image_size(config)
    mosaic = {'type': 'Mosaic', 'img_scale': (before, before), 'pad_val': 114.0}
    affine = {'type': 'RandomAffine', 'border': (-before // 2, -before // 2), 'scales': [(before, 2 * before)]}
    other = [{'type': 'RandomCrop', 'crop_size': (0.5, 0.5)}, {'type': 'Resize', 'scale': None, 'size': 8}]
    dataset = config.train_dataloader.dataset
    config.train_dataloader.dataset = {
        'type': 'MultiImageMixDataset',
        'dataset': dataset,
        'pipeline': [mosaic, affine, *other],
    }
    config.merge_from_dict(size_options(config, 96))
    mosaic, affine, crop, resize = config.train_dataloader.dataset.pipeline
    assert mosaic.img_scale == (96, 96) and mosaic.pad_val == 114.0
    assert affine.border == (-48, -48) and [tuple(scale) for scale in affine.scales] == [(96, 192)]
    assert crop.crop_size == (0.5, 0.5) and resize.scale is None and resize.size == 8
    assert image_size(config) == 96


def test_new_keys_that_parts_have(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run')
    merge_cfg_options(
        config,
        ['optim_wrapper.accumulative_counts=2', 'load_from=x.pth', 'model.backbone.norm_eval=True', 'compile=False'],
    )
    assert config.optim_wrapper.accumulative_counts == 2 and config.load_from == 'x.pth'
    assert config.model.backbone.norm_eval is True
    wrapper = ['find_unused_parameters=True', 'model_wrapper_cfg.type=MMDistributedDataParallel', 'sync_bn=torch']
    merge_cfg_options(config, wrapper)
    assert config.find_unused_parameters is True and config.model_wrapper_cfg.type and config.sync_bn == 'torch'
    config.load_from = None
    merge_cfg_options(config, ['optim_wrapper.optimizer.type=Sdg'])
    with pytest.raises(InputError, match=r'no optimizer Sdg: expected .* --custom-imports'):
        train_detector(config)
    config = detector_config(voc, tmp_path / 'run')
    merge_cfg_options(config, ['optim_wrapper.optimizer.warmth=2'])
    with pytest.raises(InputError, match=r"a part of the config does not fit: .*'warmth'.* Correct it in the config"):
        train_detector(config)


# Written with types as classes, which MMEngine's pure Python configs can have.
PURE = """
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.models import SingleStageDetector
from mmengine.dataset import pseudo_collate
from mmengine.optim import LinearLR, OptimWrapper
from mmnetaug.models import TinyNet
from my_detector import MyHead
from torch.optim import SGD

model = dict(type=SingleStageDetector, backbone=dict(type=TinyNet, arch='mcunet'), bbox_head=dict(type=MyHead))
pipeline = [dict(type=LoadImageFromFile), dict(type=LoadAnnotations, with_bbox=True), dict(type=PackDetInputs)]
train_dataloader = dict(collate_fn=dict(type=pseudo_collate), dataset=dict(pipeline=pipeline))
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
param_scheduler = [dict(type=LinearLR, end=3)]
"""


def test_types_of_pure_python_become_the_names_that_they_are_registered_by(tmp_path):
    (tmp_path / 'pure.py').write_text(PURE)
    config = read_config(tmp_path / 'pure.py', 'det')
    model, loader = config.model, config.train_dataloader
    assert [part.type for part in (model, model.backbone, model.bbox_head)] == [
        *('SingleStageDetector', 'mmnetaug.TinyNet', 'MyHead')
    ]
    assert [step.type for step in loader.dataset.pipeline] == ['LoadImageFromFile', 'LoadAnnotations', 'PackDetInputs']
    others = loader.collate_fn, config.optim_wrapper, config.optim_wrapper.optimizer, config.param_scheduler[0]
    assert [part.type for part in others] == ['pseudo_collate', 'OptimWrapper', 'SGD', 'LinearLR']
    assert config.default_scope == 'mmdet' and config.custom_imports == {'imports': ['my_detector']}
    assert json.loads(json.dumps(config.model)) == config.model
    config.dump(tmp_path / 'dumped.py')
    assert read_config(tmp_path / 'dumped.py', 'det').to_dict() == config.to_dict()
    (tmp_path / 'pure.py').write_text(
        PURE.replace('LoadAnnotations, Pack', 'Pack').replace(
            'mmcv.transforms import', 'mmcv.transforms import LoadAnnotations,'
        )
    )
    pipeline = read_config(tmp_path / 'pure.py', 'det').train_dataloader.dataset.pipeline
    assert pipeline[1].type == 'mmengine.LoadAnnotations', "mmcv's, and not mmdet's"
    more = 'default_hooks = dict(nms=dict(type=nms), norm=dict(type=SyncBatchNorm), ema=dict(ema_type=SGD))'
    imports = 'from mmcv.ops import nms\nfrom torch.nn import SyncBatchNorm\n'
    (tmp_path / 'pure.py').write_text(f'{imports}{PURE}\n{more}\n')
    hooks = read_config(tmp_path / 'pure.py', 'det').default_hooks
    assert (hooks.nms.type, hooks.norm.type, hooks.ema.ema_type) == ('nms', 'SyncBN', 'SGD')
    (tmp_path / 'pure.py').write_text(PURE.replace("arch='mcunet'", 'arch=SGD'))
    with pytest.raises(InputError, match=r'pure.py: model.backbone.arch is .*SGD.*, which is code: expected'):
        read_config(tmp_path / 'pure.py', 'det')


def test_no_scopes_remain_of_a_base_of_mmdet(tmp_path):
    """They say what is so anyway, and a checkpoint that holds one is refused."""
    (tmp_path / 'retinanet.py').write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'")
    assert '_scope_' in Config.fromfile(tmp_path / 'retinanet.py').pretty_text
    config = read_config(tmp_path / 'retinanet.py', 'det')
    stock = Config.fromfile(MMDET_TOOLS.parent / 'configs/retinanet/retinanet_r50_fpn_1x_coco.py')
    assert config.to_dict() == stock.to_dict()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            "model = dict(type='mmpretrain.ImageClassifier', backbone=dict(type='ResNet'))",
            'ImageClassifier, without model',
        ),
        ('model = ', 'is no config'),
        ("_base_ = './nowhere.py'", 'is no config'),
        ('x = 1', 'is a config for None, without model.backbone and model.bbox_head'),
    ],
)
def test_a_config_for_something_else(tmp_path, content, message):
    (tmp_path / 'config.py').write_text(content)
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / 'config.py', 'det')
    with pytest.raises(InputError, match=r'is a config for mmnetaug.Classifier, without model.backbone'):
        read_config(ROOT / 'configs/pretrain/baseline_mbv2.py', 'det')
