"""Run by torchrun in test_pretrain.py: a pretraining that notes draws, digests of weights, and who writes files."""

import hashlib
import json
import os
import sys
from pathlib import Path

from helpers import pretrain_config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmnetaug.apis import pretrain as pretraining
from mmnetaug.engine import runner as running
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


