"""Bad input of pretraining: images, class folders, values and configs."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, break_drive, pretrain_config

import mmnetaug
from mmnetaug import InputError
from mmnetaug.apis.config import read_config
from mmnetaug.apis.overrides import epochs_options, lengthened
from mmnetaug.apis.pretrain import pretrain
from mmnetaug.datasets import ImageFolder

SMALL = 'baseline_mbv2_nano_cifar100'


def test_missing_data_names_the_path_and_the_command(tmp_path, monkeypatch):
    message = r'no images at .*{}.*mmnetaug make-data'
    with pytest.raises(InputError, match=message.format('nowhere')):
        pretrain_config(tmp_path / 'nowhere', '')
    monkeypatch.chdir(tmp_path)
    config = read_config(ROOT / f'configs/pretrain/{SMALL}.py', 'pretrain')
    config.work_dir = 'run'
    with pytest.raises(InputError, match=message.format('data/cifar100/train')):
        pretrain(config)


def test_empty_class_folder(image_tree):
    (image_tree / 'train/empty').mkdir()
    (image_tree / 'val/empty').mkdir()
    with pytest.raises(InputError, match='empty has no images'):
        ImageFolder(image_tree, 'train')


@pytest.mark.parametrize(
    'key, message',
    [
        ('train_dataloader.dataset.num_classes', 'train has 2 classes and num_classes is 100.*--data-root'),
        ('val_dataloader.dataset.num_classes', 'val has 2 classes and num_classes is 100.*--data-root'),
        ('model.num_classes', r'data has 2 classes and model\.num_classes is 100.*--data-root'),
    ],
)
def test_number_of_classes_that_disagrees(key, message, image_tree, tmp_path):
    with pytest.raises(InputError, match=message):
        pretrain(pretrain_config(image_tree, tmp_path / 'run', SMALL, **{key: 100}))


def test_classes_that_differ_between_splits(image_tree, tmp_path):
    config = pretrain_config(image_tree, tmp_path / 'run', SMALL)
    (image_tree / 'val/light').rename(image_tree / 'val/bright')
    with pytest.raises(InputError, match='bright, light'):
        pretrain_config(image_tree, '')
    with pytest.raises(InputError, match='differ, first bright, light: expected the same'):
        pretrain(config)


def test_one_class_is_not_enough(tmp_path):
    (tmp_path / 'train/only').mkdir(parents=True)
    with pytest.raises(InputError, match='at least 2'):
        ImageFolder(tmp_path, 'train')


@pytest.mark.parametrize('epochs', [0, -1, 2.5, True])
def test_epochs_out_of_range(image_tree, epochs):
    with pytest.raises(InputError, match=f'epochs is {epochs}: expected a whole number of at least 1'):
        pretrain_config(image_tree, '', epochs=epochs)


@pytest.mark.parametrize(
    'key, value',
    [
        ('train_cfg.max_epochs', 0),
        ('train_cfg.max_epochs', 'abc'),
        ('val_dataloader.dataset.pipeline.1.size', 8),
        ('val_dataloader.batch_size', 0),
        ('model.arch', 'vgg'),
        ('randomness.seed', -1),
    ],
)
def test_values_out_of_range(image_tree, tmp_path, key, value):
    with pytest.raises(InputError, match=f'{value}.*expected'):
        pretrain(pretrain_config(image_tree, tmp_path / 'run', SMALL, **{key: value}))


@pytest.mark.parametrize('epochs', [-3, 'abc'])
def test_a_schedule_of_no_length(epochs):
    config = read_config(ROOT / 'configs/pretrain/baseline_mbv2_tiny.py', 'pretrain')
    config.train_cfg.max_epochs = epochs
    message = rf'train_cfg\.max_epochs is {epochs!r}: expected a whole number'
    with pytest.raises(InputError, match=message):
        lengthened(config, 2)
    with pytest.raises(InputError, match=message):
        epochs_options(config, 3)


def test_smallest_images(image_tree):
    """At 16 pixels, the last of five halvings finds maps of one pixel: they stay that."""
    config = pretrain_config(image_tree, '', **{'train_dataloader.dataset.pipeline.1.size': 16})
    item = ImageFolder(image_tree, 'train', config.train_dataloader.dataset.pipeline)[0]
    assert item['inputs'].shape == (3, 16, 16)
    logits = mmnetaug.build_network('mobilenetv2_tiny', num_classes=3)(item['inputs'][None].float().repeat(2, 1, 1, 1))
    assert logits.shape == (2, 3) and logits.isfinite().all()


def test_image_that_is_no_image_is_replaced_with_a_warning(image_tree):
    pipeline = pretrain_config(image_tree, '').train_dataloader.dataset.pipeline
    names = sorted(path.name for path in (image_tree / 'train/dark').iterdir())
    (image_tree / 'train/dark' / names[0]).write_text('not an image')
    whole = (image_tree / 'train/dark' / names[1]).read_bytes()
    (image_tree / 'train/dark' / names[1]).write_bytes(whole[:20])
    dataset = ImageFolder(image_tree, 'train', pipeline)
    with pytest.warns(UserWarning, match=rf'{names[0]} is no readable image.*1 such') as caught:
        item = dataset[0]
    assert any('2 such so far' in str(warning.message) for warning in caught)
    assert item['inputs'].shape == (3, 32, 32)
    for path in image_tree.rglob('*.png'):
        path.write_bytes(b'')
    with pytest.raises(InputError, match='none of the 48 images'), pytest.warns(UserWarning):
        dataset[0]


def test_what_cannot_be_read_is_neither_replaced_nor_missing(image_tree, monkeypatch):
    dataset = ImageFolder(image_tree, 'train', pretrain_config(image_tree, '').train_dataloader.dataset.pipeline)
    path = Path(dataset.get_data_info(0)['img_path'])
    break_drive(path)
    with pytest.raises(InputError, match=rf'{path.name} cannot be read \(Input/output error\)'):
        dataset[0]

    def refuse(folder, scandir=os.scandir):
        if Path(folder).name == 'dark':
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return scandir(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError, match='dark'):
        ImageFolder(image_tree, 'train')


def test_a_link_to_the_folder_above_adds_no_images_of_other_classes(image_tree):
    (image_tree / 'train/dark/loop').symlink_to('..')
    (image_tree / 'train/dark/more').symlink_to(image_tree / 'val/dark')
    dataset = ImageFolder(image_tree, 'train')
    folders = {Path(info['img_path']).parent.name for info in map(dataset.get_data_info, range(len(dataset)))}
    assert len(dataset) == 24 + 8 + 24 and folders == {'dark', 'more', 'light'}


def test_the_tool_prints_the_message_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, 'tools/pretrain_cls.py', 'configs/pretrain/netaug_mbv2.py', '--data-root', str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'error: no images at' in done.stderr and 'Traceback' not in done.stderr


def test_wrong_config_file(tmp_path):
    with pytest.raises(InputError, match='no config at'):
        read_config(tmp_path / 'none.py', 'pretrain')
    (tmp_path / 'broken.py').write_text('model = dict(')
    with pytest.raises(InputError, match='is no config'):
        read_config(tmp_path / 'broken.py', 'pretrain')
    message = (
        r'a config for mmnetaug\.SingleStageDetector, without model\.arch and model\.num_classes.*configs/pretrain'
    )
    with pytest.raises(InputError, match=message):
        read_config(ROOT / 'configs/det/ssdlite_netaug_voc.py', 'pretrain')


@pytest.mark.parametrize('batch_size, message', [(64, 'less than one batch of 64'), (1, 'at least 2')])
def test_batches_that_cannot_be(image_tree, tmp_path, batch_size, message):
    with pytest.raises(InputError, match=message):
        pretrain(pretrain_config(image_tree, tmp_path, **{'train_dataloader.batch_size': batch_size}))


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_mixed_precision_without_a_gpu(image_tree, tmp_path):
    with pytest.raises(InputError, match='leave out --amp'):
        pretrain(pretrain_config(image_tree, tmp_path, **{'optim_wrapper.type': 'AmpOptimWrapper'}))


def test_compiling_with_netaug_is_refused(image_tree, tmp_path):
    config = pretrain_config(image_tree, tmp_path / 'run', compile=True)
    with pytest.raises(InputError, match='compile anew for each network that NetAug draws'):
        pretrain(config)
