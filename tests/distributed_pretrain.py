"""Run by torchrun in test_pretrain.py: a pretraining that notes draws, digests of weights, and who writes files."""

import hashlib
import json
import os
import sys
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmnetaug.pretrain import pretrain, pretrain_config

from mmnetaug.engine import runtime
from mmnetaug.errors import run_tool
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
    write = runtime.write_json

    def noted_write(path, content):
        Path(work_dir, f'writer{os.environ["RANK"]}').touch()
        write(path, content)

    runtime.write_json = noted_write
    config = runtime.read_config('configs/pretrain/netaug_mbv2_tiny_cifar100.py', 'pretrain')
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
