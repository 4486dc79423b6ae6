"""Run by torchrun in test_pretrain.py: a pretraining that notes each step's draw and a digest of the weights."""

import hashlib
import json
import sys
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmnetaug.engine.runtime import read_config
from mmnetaug.errors import run_tool
from mmnetaug.pretrain import pretrain, pretrain_config
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class Record(Hook):
    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = runner.model.module
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        self.steps.append([model.augmented, digest.hexdigest(), float(data_batch['inputs'].sum())])

    def after_train(self, runner):
        Path(runner.work_dir, f'rank{get_rank()}.json').write_text(json.dumps(self.steps))


def main():
    data_root, work_dir = sys.argv[1:]
    config = read_config('configs/pretrain/netaug_mbv2_tiny_cifar100.py', 'pretrain')
    config.merge_from_dict(
        {
            'num_classes': 2,
            'epochs': 2,
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'train_dataloader.dataset.data_root': data_root,
            'val_dataloader.dataset.data_root': data_root,
            'work_dir': work_dir,
            'launcher': 'pytorch',
        }
    )
    config.custom_hooks.append(dict(type='mmnetaug.Record'))
    pretrain(pretrain_config(config))


run_tool(main)
