"""What a user may get wrong, and is told with what to do; more of it stands beside what it is about."""

import pytest
import torch
from helpers import build_detector, detector_config, pretrain_config

from mmnetaug import InputError
from mmnetaug.apis.config import merge_cfg_options, read_config
from mmnetaug.apis.overrides import check_pretrained
from mmnetaug.apis.test import load_detector
from mmnetaug.apis.test import test_detector as evaluate_detector
from mmnetaug.apis.train import train_detector
from mmnetaug.checkpoint import read_detector
from mmnetaug.datasets.findings import missing_data
from mmnetaug.datasets.yolo import read_data_yaml
from mmnetaug.engine.hooks import DetectionMixupHook
from mmnetaug.engine.runner import training_runner
from mmnetaug.errors import run_tool
from mmnetaug.evaluation.memory import describe_memory
from mmnetaug.records import write_json


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('names: person', r"names is the text 'person': expected a list, such as names: \[person\]"),
        ('names: {1: cat, 2: dog}', r'names of \[1, 2\], which should be numbers from 0 on'),
    ],
)
def test_names_of_yolo(tmp_path, content, message):
    (tmp_path / 'data.yaml').write_text(content)
    with pytest.raises(InputError, match=message):
        read_data_yaml(tmp_path / 'data.yaml')


def test_one_class_without_its_comma(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    config.train_dataloader.dataset.metainfo.classes = 'cat'
    with pytest.raises(InputError, match=r"metainfo.classes is the text 'cat': expected names"):
        training_runner(config)


def test_a_file_in_place_of_its_folder(tmp_path):
    (tmp_path / 'data.yaml').write_text('')
    with pytest.raises(InputError, match=f'data.yaml is a file: expected the folder above it, {tmp_path}'):
        missing_data(tmp_path / 'data.yaml')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfg.val_begin=[1,2', 'expected as many'),
        ('model.backbone.out_features=stride16', r'expected several, such as model.backbone.out_features=stride16,'),
    ],
)
def test_options(option, message):
    with pytest.raises(InputError, match=message):
        merge_cfg_options(read_config('ssdlite_netaug_voc', 'det'), [option])


def test_a_misspelt_folder_is_no_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where nothing was pretrained
    config = read_config('ssdlite_netaug_voc', 'det')
    with pytest.raises(InputError, match='make it with\n    mmnetaug pretrain netaug_mbv2 '):
        check_pretrained(config)
    config.model.backbone.init_cfg.checkpoint = 'work_dirs/netaug_pet/export.pth'
    with pytest.raises(InputError, match='check the path'):
        check_pretrained(config)


def test_hooks_of_the_other_kind_of_training(voc, image_tree, tmp_path):
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    config.custom_hooks = [{'type': 'mmnetaug.MixupHook', 'alpha': 0.2}]
    with pytest.raises(InputError, match='MixupHook is for pretraining, and this trains a SingleStageDetector'):
        train_detector(config)
    config = pretrain_config(image_tree, tmp_path / 'other', 'baseline_mbv2_nano_cifar100', epochs=1)
    config.custom_hooks = [{'type': 'mmnetaug.DetectionMixupHook'}]
    with pytest.raises(InputError, match='no place: leave out --mixup'):
        training_runner(config).train()
    for alpha, unmixed in [(0, 0.1), (-1, 0.1), (1.5, 2)]:
        with pytest.raises(InputError, match='detection mixup'):
            DetectionMixupHook(alpha, unmixed)


def test_weights_alone_are_tested_with_their_config(voc, tmp_path):
    config = detector_config(voc, tmp_path / 'run', 'ssdlite_baseline_voc', epochs=1)
    result = train_detector(config)
    torch.save(read_detector(result['checkpoint'])[1], tmp_path / 'weights.pth')
    config.work_dir = str(tmp_path / 'test')
    assert evaluate_detector(config, tmp_path / 'weights.pth')['AP50_area'] == result['AP50_area']


def test_a_detector_whose_weights_are_no_numbers():
    detector = build_detector()
    state = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    state['backbone.stem.0.conv.weight'][0] = float('nan')
    with pytest.raises(
        InputError, match=r'x.pth has weights that are infinite or NaN, in 1 of \d+ tensors, first back'
    ):
        load_detector(detector, state, 'x.pth')


def test_an_error_in_a_process_of_a_loader_is_not_its_end(capsys):
    def fails(message):
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match='my own'):
        run_tool(lambda: fails('Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback: my own'))
    with pytest.raises(SystemExit):
        run_tool(lambda: fails('DataLoader worker (pid(s) 7) exited unexpectedly'))
    assert '--shm-size' in capsys.readouterr().err
    full = 'RuntimeError: unable to write to file </torch_7_1_0>: No space left on device (28)'
    with pytest.raises(SystemExit):
        run_tool(lambda: fails(f'Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\n{full}'))
    assert '--shm-size' in capsys.readouterr().err


def test_a_missing_operator_is_not_a_wrong_size():
    class Missing(torch.nn.Conv2d):
        def forward(self, x):
            raise NotImplementedError('this operator needs full mmcv')

    with pytest.raises(InputError, match='this operator needs full mmcv'):
        describe_memory(Missing(3, 3, 1), 32)


@pytest.mark.parametrize('use', [lambda path: path.resolve(strict=True), lambda path: (path / 'x').mkdir(parents=True)])
def test_a_link_to_itself(tmp_path, capsys, use):
    (tmp_path / 'loop').symlink_to('loop')
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: use(tmp_path / 'loop'))
    assert ended.value.code == 2 and 'loop' in (said := capsys.readouterr().err) and 'Traceback' not in said


def test_a_folder_in_the_place_of_a_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_json(tmp_path, {})
    assert list(tmp_path.parent.glob('*.partial')) == []
