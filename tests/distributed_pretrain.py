"""Run by torchrun in test_pretrain.py: a pretraining that notes draws, digests of weights, and who writes files."""

import hashlib
import json
import os
import sys
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from mmnetaug.apis.pretrain import pretrain
from mmnetaug.errors import run_tool
from mmnetaug.registry import HOOKS


@HOOKS.register_module()
class Record(Hook):
    def __init__(self):
        self.steps, self.sent = [], 0

    def before_train(self, runner):
        runner.model.register_comm_hook(None, self.count)

    def count(self, _, bucket):
        self.sent += bucket.buffer().numel()
        return allreduce_hook(None, bucket)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = runner.model.module
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        shares = self.sent / sum(parameter.numel() for parameter in model.parameters())
        self.steps.append([model.augmented, digest.hexdigest(), float(data_batch['inputs'].sum()), shares])
        self.sent = 0

    def after_train(self, runner):
        Path(runner.work_dir, f'rank{get_rank()}.json').write_text(json.dumps(self.steps), encoding='utf-8')


def note_writers(work_dir):
    """Leave a file for each process that writes a result, a schedule or an export."""

    def noted(write):
        def function(*arguments):
            Path(work_dir, f'writer{os.environ["RANK"]}').touch()
            return write(*arguments)

        return function

    for module in map(sys.modules.get, ('mmnetaug.engine.runner', 'mmnetaug.apis.pretrain')):
        for name in {'write_json', 'write_export'} & vars(module).keys():
            setattr(module, name, noted(getattr(module, name)))


def main():
    from helpers import pretrain_config  # which imports mmdet, after mmnetaug has mended it

    data_root, work_dir = sys.argv[1:]
    note_writers(work_dir)
    options = {'launcher': 'pytorch', 'train_dataloader.batch_size': 4, 'custom_hooks': [{'type': 'mmnetaug.Record'}]}
    pretrain(pretrain_config(data_root, work_dir, 'netaug_mbv2_nano_cifar100', **options))


run_tool(main)
