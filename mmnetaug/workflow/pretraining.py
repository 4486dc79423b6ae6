"""Pretraining runs as steps of a graph."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config

from mmnetaug.engine.runtime import parse_cfg_options, read_config
from mmnetaug.errors import InputError
from mmnetaug.models.archs import get_arch
from mmnetaug.pretrain import pretrain_config
from mmnetaug.workflow.graph import Step, digest

# Method -> (beginning of its files in configs/pretrain, options of tools/pretrain_cls.py).
METHODS = {
    'baseline': ('baseline', []),
    'mixup': ('baseline', ['--mixup']),
    'autoaugment': ('baseline', ['--autoaugment']),
    'dropblock': ('baseline', ['--dropblock']),
    'netaug': ('netaug', []),
}


class Pretraining:
    """Runs of one method on one network, with any lengths and seeds.

    Args:
        root: folder with ``configs`` and ``tools``.
        out: folder of the figure.
        method: a key of :data:`METHODS`.
        ending: of the config, as in ``configs/pretrain/baseline_ENDING.py``.
        arch: another network than the config's.
        data: class folders, with any number of classes; None: the config's.
        train_options: KEY=VALUE changes of the config.

    Attributes:
        config: as read, with ``arch`` and ``train_options``.
        arch: the network.
        data: the folder that the runs are trained on.

    Raises:
        InputError: no such config, or an option that is none.
    """

    def __init__(
        self,
        root: Path,
        out: Path,
        method: str,
        ending: str,
        arch: Optional[str] = None,
        data: Optional[str] = None,
        train_options: Sequence[str] = (),
    ):
        kind, self.options = METHODS[method]
        self.root, self.out, self.method, self.ending = root, out, method, ending
        self.path = root / f'configs/pretrain/{kind}_{ending}.py'
        self.config: Config = read_config(self.path, 'pretrain', {'model.arch': arch} if arch else {})
        self.config.merge_from_dict(parse_cfg_options(train_options))
        self.arch = get_arch(self.config.model.arch).name
        self.data = str(Path(data or self.config.train_dataloader.dataset.data_root).resolve())
        # One's own folders have any number of classes.
        self.changes = [*(['num_classes=None'] if data else []), *train_options]
        self.tag = f'_x{digest(sorted(train_options))}' if train_options else ''

    def steps(self, lengths: Sequence[int], seeds: Sequence[int]) -> dict[tuple[int, int], Step]:
        """The step of each length and seed.

        Raises:
            InputError: some of them have not been done and cannot start: no data, say.
        """
        steps = {(epochs, seed): self._step(epochs, seed) for epochs in lengths for seed in seeds}
        if not all((self.out / path).is_file() for step in steps.values() for path in step.makes):
            self._check()
        return steps

    def _step(self, epochs: int, seed: int) -> Step:
        """The step that makes ``export.pth`` and ``result.json``, in a folder whose name tells what determines them."""
        run = f'runs/pretrain_{self.method}_{self.ending}_{self.arch}_e{epochs}{self.tag}_seed{seed}'
        command = [sys.executable, self.root / 'tools/pretrain_cls.py', self.path, '--resume']
        command += ['--work-dir', self.out / run, '--data-root', self.data, '--arch', self.arch]
        command += ['--epochs', epochs, '--seed', seed, *self.options]
        command += ['--cfg-options', *self.changes] if self.changes else []
        return Step([f'{run}/export.pth', f'{run}/result.json'], [str(part) for part in command])

    def _check(self) -> None:
        config = self.config.copy()
        config.merge_from_dict({f'{split}_dataloader.dataset.data_root': self.data for split in ('train', 'val')})
        if 'num_classes=None' in self.changes:
            config.num_classes = None
        try:
            pretrain_config(config)
        except InputError as error:
            # What a figure calls these options.
            message = re.sub(r'--cfg-options num_classes=\d+', f'--pretrain-data {self.data}', str(error))
            raise InputError(message.replace('--data-root', '--pretrain-data')) from error
