"""What several test modules need: small data, configs of short runs, and detectors."""

import contextlib
import ctypes
import json
import resource
import runpy
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from pytest import importorskip, skip

from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.apis.overrides import (
    detection_data_options,
    detection_mixup_options,
    epochs_options,
    image_folder_options,
    worker_options,
)
from mmnetaug.engine.closing import closing_runs
from mmnetaug.engine.runner import train_and_validate, training_runner
from mmnetaug.records import RESULT_VERSION, write_json
from mmnetaug.registry import HOOKS, MODELS
from mmnetaug.workflow.graph import run_plan

ROOT = Path(__file__).parents[1]
CAT, DOG = ('cat', 11, 11, 31, 31, 0), ('dog', 1, 1, 20, 40, 0)


class Killed(Exception):
    """As if a run had been stopped."""


@HOOKS.register_module()
class KillAfterFirstEpoch(Hook):
    """In ``default_hooks``, since a resumed run must have the same ``custom_hooks``."""

    priority = 'LOWEST'

    def after_train_epoch(self, runner):
        raise Killed


class Intruder:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def write_image(path, width=64, height=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))


@contextlib.contextmanager
def files_up_to(size):
    """As on a disk that becomes full: nothing can be written behind that many bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def open_below(folder):
    """Names of the files of a folder that this process has open."""
    opened = (each.resolve() for each in Path('/proc/self/fd').glob('*') if each.exists())
    return [path.name for path in opened if folder in path.parents]


def break_drive(path):
    """Have reading a file fail as on a network drive that is gone, also for the superuser."""
    memory = Path('/proc/self/mem')  # of which there is nothing at the start
    if not memory.exists():
        skip('no /proc')
    path.unlink()
    path.symlink_to(memory)


def write_voc(folder, images, sets, suffix='.jpg'):
    """``images``: name -> [(class, xmin, ymin, xmax, ymax, difficult)]; ``sets``: image set -> names."""
    for part in ('Annotations', 'ImageSets/Main'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, objects in images.items():
        write_image(folder / 'JPEGImages' / f'{name}{suffix}')
        parts = ''.join(
            f'<object><name>{c}</name><difficult>{d}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>'
            f'<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for c, x1, y1, x2, y2, d in objects
        )
        size = '<size><width>64</width><height>48</height><depth>3</depth></size>'
        (folder / 'Annotations' / f'{name}.xml').write_text(f'<annotation>{size}{parts}</annotation>')
    for image_set, names in sets.items():
        (folder / 'ImageSets' / 'Main' / f'{image_set}.txt').write_text('\n'.join(names) + '\n')


def write_photographs(folder):
    """VOC layout of cats and dogs in noise that no two places share, 64x48."""
    objects = [('cat', 11, 11, 31, 31, 0), ('dog', 30, 20, 60, 44, 0)]
    write_voc(folder, dict.fromkeys('abcdefgh', objects), {'trainval': list('abcdef'), 'test': ['g', 'h']})
    for number, path in enumerate(sorted((folder / 'JPEGImages').iterdir())):
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.GaussianBlur(noise, (5, 5), 0))
    return folder


def write_coco(folder, split, images, categories=('cat', 'dog')):
    """``images``: name -> [(category id, x, y, width, height)]."""
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    records, annotations = [], []
    for number, (name, objects) in enumerate(images.items(), 1):
        write_image(folder / split / name)
        records.append({'id': number, 'file_name': name, 'width': 64, 'height': 48})
        for category, *box in objects:
            entry = {'id': len(annotations) + 1, 'image_id': number, 'category_id': category, 'iscrowd': 0}
            annotations.append({**entry, 'bbox': box, 'area': box[2] * box[3]})
    content = {
        'images': records,
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, 1)],
    }
    (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def pretrain_config(images, work_dir, name='netaug_mbv2_tiny_cifar100', epochs=2, **options):
    """A run of seconds on a folder of images; ``options`` are dotted keys."""
    config = read_config(ROOT / f'configs/pretrain/{name}.py', 'pretrain')
    config.merge_from_dict(image_folder_options(config, str(images)))
    config.merge_from_dict({**worker_options(config, 0), **epochs_options(config, epochs)})
    # serialising collects all garbage, which takes longer than an epoch here
    config.train_dataloader.dataset.serialize_data = config.val_dataloader.dataset.serialize_data = False
    config.merge_from_dict({'train_dataloader.batch_size': 8, 'work_dir': str(work_dir)})
    config.default_hooks.pop('results')
    config.merge_from_dict(options)
    return config


def detector_config(data_root, work_dir, name='ssdlite_netaug_voc', size=96, epochs=2, classes=None, **options):
    """Short epochs of a small network, without pretraining and without pictures, which take longer; ``options`` are
    dotted keys, or with __ for each dot."""
    config = read_config(ROOT / f'configs/det/{name}.py', 'det')
    config.merge_from_dict({'model.backbone.arch': 'mobilenetv2_w0.1', 'model.backbone.init_cfg': None})
    config.merge_from_dict(size_options(config, size))
    config.merge_from_dict(detection_data_options(config, data_root, classes))
    config.merge_from_dict({**worker_options(config, 0), **epochs_options(config, epochs)})
    config.merge_from_dict({'train_dataloader.batch_size': 2, 'work_dir': str(work_dir)})
    for name in ('pictures', 'results'):
        config.default_hooks.pop(name)
    config.merge_from_dict({name.replace('__', '.'): value for name, value in options.items()})
    return config


@HOOKS.register_module()
class KillAt(Hook):
    """As if the process had been killed after a step, before or after its checkpoint."""

    priority = 'LOWEST'
    step = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == KillAt.step:
            raise Killed


def classifier_run(name, **options):
    def build(images, voc, work_dir):
        hooks = options.get('hooks', [])
        return pretrain_config(images, work_dir, name, epochs=3, custom_hooks=hooks)

    return build


def detector_run(name, mixup=False):
    def build(images, voc, work_dir):
        config = detector_config(voc, work_dir, name, epochs=3)
        config.merge_from_dict(detection_mixup_options(config, True) if mixup else {})
        return config

    return build


# Kind of run -> its config, of a folder of classes and a detection data set.
RUNS = {
    'baseline': classifier_run('baseline_mbv2_nano_cifar100', hooks=[{'type': 'mmnetaug.DropoutHook', 'rate': 0.3}]),
    'netaug': classifier_run('netaug_mbv2_nano_cifar100', hooks=[{'type': 'mmnetaug.MixupHook', 'alpha': 0.4}]),
    'detection': detector_run('ssdlite_baseline_voc'),
    'detection mixup': detector_run('ssdlite_baseline_voc', mixup=True),
    'multi-scale': detector_run('yolov3_baseline_voc'),
    'EMA': detector_run('rtmdet_baseline_voc'),
}


def train_until(config, stop=None, resume=False):
    """Train, perhaps to a step at which it is killed; returns the last checkpoint."""
    KillAt.step = stop
    config.default_hooks.kill = {'type': 'mmnetaug.KillAt'}
    config.default_hooks.checkpoint.iterations = 1
    config.resume = resume
    with closing_runs():
        train_and_validate(training_runner(config))
    return torch.load(Path((Path(config.work_dir) / 'last_checkpoint').read_text()))


def checkpoint_differences(a, b, place=''):
    """Where two checkpoints differ, in what matters for going on."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [place]
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        return [each for key in a for each in checkpoint_differences(a[key], b[key], f'{place}.{key}')]
    if isinstance(a, list):
        return [
            each
            for i, (x, y) in enumerate(zip(a, b, strict=True))
            for each in checkpoint_differences(x, y, f'{place}.{i}')
        ]
    return [] if a == b else [place]


def compare_checkpoints(whole, resumed):
    kept = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    assert whole.keys() == resumed.keys()
    found = {key: checkpoint_differences(whole[key], resumed[key]) for key in kept if key in whole}
    assert not any(found.values()), {key: value[:3] for key, value in found.items()}
    assert [whole['meta'][key] for key in ('epoch', 'iter')] == [resumed['meta'][key] for key in ('epoch', 'iter')]


def build_detector(head='ssdlite', arch='mobilenetv2_tiny', num_classes=3, size=96, **options):
    """An untrained detector of ``configs/_base_/models/HEAD.py``; ``options`` as above, below ``model``."""
    config = Config.fromfile(ROOT / f'configs/det/{head}_baseline_voc.py')
    config.merge_from_dict({'model.backbone.arch': arch, 'model.backbone.init_cfg': None})
    config.merge_from_dict(size_options(config, size))
    config.model.bbox_head.num_classes = num_classes
    config.merge_from_dict({f'model.{name.replace("__", ".")}': value for name, value in options.items()})
    with DefaultScope.overwrite_default_scope('mmdet'):  # whatever ran before in this process
        model = MODELS.build(config.model)
    model.init_weights()
    return model


def with_larger_head(checkpoint):
    """The export of a detector that has learnt little, whose head now has larger random weights: it finds much, and
    gives no equal scores, of which any may be kept."""
    content = torch.load(checkpoint)
    generator = torch.Generator().manual_seed(4)
    for key, tensor in content['state_dict'].items():
        if key.startswith('bbox_head') and tensor.ndim == 4:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * tensor[0].numel() ** -0.5)
    torch.save(content, checkpoint)
    return checkpoint


def sample(size, boxes=(), labels=(), ignored=()):
    meta = {'img_shape': (size, size), 'pad_shape': (size, size), 'scale_factor': (1.0, 1.0)}
    target = DetDataSample(metainfo={**meta, 'batch_input_shape': (size, size), 'ori_shape': (size, size)})
    for name, values in [('gt_instances', boxes), ('ignored_instances', ignored)]:
        setattr(target, name, InstanceData(bboxes=torch.tensor(values, dtype=torch.float32).reshape(-1, 4)))
    target.gt_instances.labels = torch.tensor(labels, dtype=torch.long)
    target.ignored_instances.labels = torch.zeros(len(ignored), dtype=torch.long)
    return target


def learn_one_image(model, lr, steps, score=0.5, overlap=0.6):
    """Train on one image of two objects; then the two best boxes are these objects."""
    image = torch.zeros(1, 3, 96, 96)
    image[:, 0, 10:50, 10:50] = 1.0
    image[:, 1, 60:80, 40:90] = 1.0
    boxes = [[10.0, 10, 50, 50], [40.0, 60, 90, 80]]
    images, targets = image.repeat(2, 1, 1, 1), [sample(96, boxes, [0, 1])] * 2
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        losses = model.loss(images, targets)
        optimizer.zero_grad()
        sum(sum(values) for values in losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        (found,) = model.eval().predict(image, [sample(96)])
    found = found.pred_instances
    assert sorted(found.labels[:2].tolist()) == [0, 1] and (found.scores[:2] > score).all()
    overlaps = bbox_overlaps(found.bboxes[:2][found.labels[:2].argsort()], torch.tensor(boxes), is_aligned=True)
    assert (overlaps > overlap).all()


class Box(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_float) for name in ('x1', 'y1', 'x2', 'y2', 'score')), ('label', ctypes.c_int)]


def by_c(folder, name, maps):
    """What the compiled C makes of raw maps, (H, W, C) each."""
    sources = [folder / f'{name}_{part}.c' for part in ('model', 'detect')]
    flags = ['-std=c99', '-Wall', '-Wextra', '-Werror', '-pedantic', '-shared', '-fPIC']
    subprocess.run(['gcc', *flags, '-o', folder / 'detect.so', *sources, '-lm'], check=True)
    pointers = (ctypes.c_void_p * len(maps))(*[level.ctypes.data for level in maps])
    boxes = (Box * 300)()
    number = getattr(ctypes.CDLL(str(folder / 'detect.so')), f'{name}_detect')(pointers, boxes, 300)
    found = boxes[:number]
    return (
        np.array([[box.x1, box.y1, box.x2, box.y2] for box in found]),
        np.array([box.score for box in found]),
        np.array([box.label for box in found]),
    )


def ap_points(aps, size=320, macs=1e8, measure='AP50_area'):
    """Points of figure 5. ``aps``: method -> AP of seeds 0, 1, ..."""
    return [
        {'method': method, 'size': size, 'seed': seed, 'macs': macs, measure: ap}
        for method, values in aps.items()
        for seed, ap in enumerate(values)
    ]


def ap_curves(first, second, shift):
    """Two sizes, two seeds; NetAug has 1 - ``shift`` of the baseline's MACs at equal AP, mixup never its AP."""
    rows = []
    for size, macs, ap in [(96, 1e7, first), (128, 4e7, second)]:
        rows += ap_points({'baseline': [ap, ap + 0.02], 'baseline_mixup': [ap - 0.5, ap - 0.5]}, size, macs)
        rows += ap_points({'netaug': [ap, ap + 0.02]}, size, macs * (1 - shift))
    return rows


def pretend(root, **tools):
    """A folder with the repository's configs and tools that only pretend, but for drawing."""
    (root / 'tools').mkdir(parents=True)
    (root / 'configs').symlink_to(ROOT / 'configs')
    (root / 'tools' / 'figures.py').symlink_to(ROOT / 'tools' / 'figures.py')
    for name, text in tools.items():
        (root / 'tools' / f'{name}.py').write_text(text)
    return root


def carry_out(plan, out):
    """All commands of a plan one after the other in this process, as Snakemake would run them in others."""
    write_json(out / f'{plan.figure}_plan.json', {'version': RESULT_VERSION, **asdict(plan)})
    for step in plan.steps:
        (out / step.makes[0]).parent.mkdir(parents=True, exist_ok=True)
        with mock.patch.object(sys, 'argv', step.command[1:]):
            runpy.run_path(step.command[1], run_name='__main__')
        assert all((out / path).is_file() for path in step.makes)


def missing(plan, out, capfd):
    """Number of jobs of each rule that Snakemake would run."""
    importorskip('snakemake')
    capfd.readouterr()
    run_plan(plan, out, dry_run=True)
    printed = ''.join(capfd.readouterr())
    if 'job ' not in printed:
        return {}
    lines = [line.split() for line in printed[printed.index('job ') :].splitlines()[2:]]
    jobs = {line[0]: int(line[1]) for line in lines[: lines.index([])]}
    assert jobs.pop('total') == sum(jobs.values())
    return jobs


def read_table(text, header):
    """Cells of a table in Markdown, row by row."""
    lines = text[text.index(header) :].split('\n\n')[0].splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
