"""No file runs code: what a checkpoint names is checked before anything is built."""

import copy
import pickle
import runpy
import sys

import pytest
import torch
from helpers import ROOT, Intruder, build_detector, detector_config
from mmengine.config import Config

from mmnetaug import InputError
from mmnetaug.apis.benchmark import benchmark
from mmnetaug.apis.config import read_config
from mmnetaug.apis.inference import infer
from mmnetaug.apis.test import build_detector as build_from_checkpoint
from mmnetaug.apis.test import checkpoint_config
from mmnetaug.engine.hooks.export_hook import KEPT, _without
from mmnetaug.trust import check_config


def honest(voc, tmp_path, head='ssdlite'):
    """The meta of an export, and its weights."""
    config = detector_config(voc, tmp_path, f'{head}_baseline_voc').to_dict()
    kept = {key: config[key] for key in KEPT}
    kept['model'] = _without(kept['model'], 'init_cfg')
    meta = {
        'version': 2,
        'config': kept,
        'classes': ['cat', 'dog'],
        'seed': 0,
        'dataset_meta': {'classes': ['cat', 'dog']},
    }
    return meta


POPEN = {'type': 'subprocess.Popen', 'args': 'touch {ran}', 'shell': True}
# Dotted place in a config -> what a malicious file puts there.
ATTACKS = {
    'model': POPEN,
    'model.backbone': POPEN,
    'model.neck': POPEN,
    'model.bbox_head.loss_cls': POPEN,
    'model.bbox_head.anchor_generator': POPEN,
    'model.train_cfg.assigner': POPEN,
    'model.train_cfg.sampler': {
        'type': 'mmdet.CameraMotionCompensation',
        'warp_mode': "__import__('os').system('touch {ran}')",
    },
    'model.data_preprocessor': POPEN,
    'model.data_preprocessor.batch_augments': [POPEN],
    'model.test_cfg.nms': {'type': "__import__('os').system('touch {ran}')", 'iou_threshold': 0.5},
    'model.backbone.init_cfg': {'type': 'Pretrained', 'checkpoint': 'http://127.0.0.1:9/x.pth'},
    'model.bbox_head.init_cfg': POPEN,
    'model.bbox_head._scope_': 'evil',
    'model.bbox_head.type': 'evil.Head',
    'model.type': 'os.system',
    'model.backbone.pretrained': 'x.pth',
    'test_dataloader.dataset.pipeline': [POPEN],
    'test_dataloader.dataset.type': 'subprocess.Popen',
    'test_dataloader.sampler': POPEN,
    'test_dataloader.collate_fn': POPEN,
    'test_dataloader.dataset.backend_args': {'backend': 'http'},
    'test_dataloader.dataset.proposal_file': '{ran}.pkl',
    'test_dataloader.dataset.metainfo.note': 'http://127.0.0.1:9/x',
    'test_dataloader.dataset': {'type': 'mmdet.BaseDetDataset', 'ann_file': '{ran}.pkl'},
    'test_evaluator': [{'type': 'mmengine.DumpResults', 'out_file_path': '{ran}.pkl'}],
    'test_cfg': POPEN,
    'default_scope': 'evil',
    'custom_imports': {'imports': ['evil']},
    'visualizer': POPEN,
    'model.bbox_head.num_classes': torch.zeros(3),
}


def put(config, place, value):
    *path, last = place.split('.')
    for key in path:
        config = config.setdefault(key, {})
    config[last] = value


def armed(value, ran):
    """The value with the file that it would make, if it ran."""
    if isinstance(value, dict):
        return {key: armed(each, ran) for key, each in value.items()}
    if isinstance(value, list):
        return [armed(each, ran) for each in value]
    return value.replace('{ran}', str(ran)) if isinstance(value, str) else value


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
@pytest.mark.parametrize('place', ATTACKS)
def test_nothing_of_a_malicious_checkpoint_runs(voc, tmp_path, place, legacy):
    ran, meta = tmp_path / 'ran', honest(voc, tmp_path)
    put(meta['config'], place, armed(copy.deepcopy(ATTACKS[place]), ran))
    state = {'state_dict': {}}
    for name, content in {
        'export.pth': {**state, 'meta': meta},
        'epoch_1.pth': {**state, 'meta': {}, 'mmnetaug': meta},
    }.items():
        path = tmp_path / name
        torch.save({'state_dict': {}, **content}, path, _use_new_zipfile_serialization=not legacy)
        attempts = [
            lambda path=path: build_from_checkpoint(path),
            lambda path=path: checkpoint_config(path),
            lambda path=path: infer(voc / 'JPEGImages', path, tmp_path / 'vis'),
            lambda path=path: benchmark([path], ['x'], tmp_path / 'benchmark'),
        ]
        for attempt in attempts:
            with pytest.raises(InputError, match=f'{name} was not loaded: its '):
                attempt()
        ours = read_config(ROOT / 'configs/det/ssdlite_baseline_voc.py', 'det')
        trusted = checkpoint_config(path, ours)
        assert trusted.model.bbox_head == ours.model.bbox_head and trusted.test_dataloader == ours.test_dataloader
    assert not ran.exists() and not ran.with_suffix('.pkl').exists()


@pytest.mark.parametrize(
    ('section', 'part'),
    [
        *(('model', name) for name in ('AppearanceFreeLink', 'BertModel', 'ByteTrack', 'Detectron2Wrapper')),
        *(('test_dataloader', name) for name in ('OpenImagesDataset', 'BaseDetDataset', 'RandomSamplingNegPos')),
        *(('test_evaluator', name) for name in ('CocoOccludedSeparatedMetric', 'SemSegMetric', 'DumpProposals')),
    ],
)
def test_parts_that_read_write_or_fetch(section, part):
    with pytest.raises(InputError, match=rf'x was not loaded: its {section}\.type is .mmdet\.{part}'):
        check_config({section: {'type': f'mmdet.{part}'}}, 'x')


def test_a_name_of_a_class_is_no_address():
    check_config({'test_dataloader': {'dataset': {'metainfo': {'classes': ['cat', 'x://y']}}}}, 'x')


@pytest.mark.parametrize('path', sorted((ROOT / 'configs/det').glob('*.py')), ids=lambda path: path.stem)
def test_what_our_configs_name_is_accepted(path):
    config = Config.fromfile(path).to_dict()
    config = {key: config[key] for key in KEPT}
    config['model'] = _without(config['model'], 'init_cfg')
    check_config(config, 'export.pth')


def test_an_honest_checkpoint(voc, tmp_path):
    meta = honest(voc, tmp_path)
    model = build_detector('ssdlite', 'mobilenetv2_w0.1', 2)
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'export.pth')
    found = build_from_checkpoint(tmp_path / 'export.pth')
    assert found.state_dict().keys() == model.state_dict().keys()


DET, CLS = 'configs/det/ssdlite_baseline_voc.py', 'configs/pretrain/baseline_mbv2_tiny_cifar100.py'
# Every place of the tools that takes a file of weights.
COMMANDS = {
    'test': 'test {file} --data-root {voc}',
    'test with a config': f'test {DET} {{file}} --data-root {{voc}}',
    'infer': 'infer {voc}/JPEGImages --checkpoint {file} --out-dir {out}',
    'benchmark': 'benchmark {file} --out {out}',
    'train --pretrained': f'train {DET} --data-root {{voc}} --batch-size 2 --pretrained {{file}} --work-dir {{out}}',
    'train --resume': f'train {DET} --data-root {{voc}} --batch-size 2 --pretrained none --resume --work-dir {{run}}',
    'train load_from': (
        f'train {DET} --data-root {{voc}} --batch-size 2 --pretrained none --work-dir {{out}} '
        '--cfg-options load_from={file}'
    ),
    'pretrain_cls': f'pretrain_cls {CLS} --data-root {{images}} --batch-size 8 --teacher {{file}} --work-dir {{out}}',
    'pretrain_cls --resume': f'pretrain_cls {CLS} --data-root {{images}} --batch-size 8 --resume --work-dir {{run}}',
    'convert_weights': 'convert_weights {file} --arch mobilenetv2_tiny --out {out}/x.pth',
    'figures': 'figures fig5 --data {voc} --head ssdlite --pretrained {file} {file} --out {out}',
}
KINDS = {
    'zip': lambda content, path: torch.save(content, path),
    'legacy': lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    'pickle': lambda content, path: path.write_bytes(pickle.dumps(content)),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('command', COMMANDS)
def test_every_tool_refuses_code_with_one_line(voc, image_tree, tmp_path, monkeypatch, capsys, command, kind):
    if command == 'figures':
        pytest.importorskip('snakemake')
    ran, run, file = tmp_path / 'ran', tmp_path / 'run', tmp_path / 'evil.pth'
    run.mkdir()
    content = {'state_dict': {}, 'meta': {'x': Intruder(ran)}, 'message_hub': {}, 'optimizer': {}}
    for path in (file, run / 'epoch_1.pth'):
        KINDS[kind](content, path)
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    places = {'file': file, 'run': run, 'voc': voc, 'images': image_tree, 'out': tmp_path / 'out'}
    name, *arguments = COMMANDS[command].format(**places).split()
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', [f'tools/{name}.py', *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / f'tools/{name}.py'), run_name='__main__')
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and message.startswith('error: ') and 'could run code' in message
    assert not ran.exists() and not list(tmp_path.rglob('export.pth'))
