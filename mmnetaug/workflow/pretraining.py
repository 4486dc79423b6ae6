"""Pretraining runs as steps of a graph."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.config import Config

from mmnetaug.apis.config import dataset_config, merge_cfg_options, read_config
from mmnetaug.apis.overrides import image_folder_options
from mmnetaug.archs import get_arch
from mmnetaug.config_files import methods
from mmnetaug.datasets import ImageFolder
from mmnetaug.datasets.image_folder import class_folders
from mmnetaug.engine.hooks.regularizers import check_teacher
from mmnetaug.errors import InputError
from mmnetaug.workflow.graph import Step, digest, tool_step

LR = 'optim_wrapper.optimizer.lr'
DISTILL = 'distill'  # the method that needs another run


class Pretraining:
    """Runs of one method on one network, with any lengths and seeds.

    Args:
        root: folder with ``configs`` and ``tools``.
        out: folder of the figure.
        method: a key of :func:`methods`.
        ending: of the config, as in ``configs/pretrain/baseline_ENDING.py``.
        arch: another network than the config's.
        data: class folders, with any number of classes; None: the config's.
        train_options: KEY=VALUE changes of the config.
        lr: learning rate, for the batch size of the config; None: the config's.
        teacher: the ``export.pth`` that :data:`DISTILL` learns from.

    Attributes:
        config: as read, with ``arch`` and ``train_options``.
        arch: the network.
        given: the folder that the runs are trained on, as it is written.
        data: the same, absolute.
        lr: the learning rate, for the batch size of the config.

    Raises:
        InputError: no such config, an option that is none, or no teacher for distillation.
    """

    def __init__(
        self,
        root: Path,
        out: Path,
        method: str,
        ending: str,
        arch: str | None = None,
        data: str | None = None,
        train_options: Sequence[str] = (),
        lr: float | None = None,
        teacher: str | None = None,
    ):
        kind, self.options, changes = methods()[method]
        self.root, self.out, self.method, self.ending = root, out, method, ending
        self.path = root / f'configs/pretrain/{kind}_{ending}.py'
        self.config: Config = read_config(self.path, 'pretrain')
        if arch:
            self.config.model.arch = arch
        merge_cfg_options(self.config, train_options)
        self.arch = get_arch(self.config.model.arch).name
        self.own_data = data is None
        self.given = data or dataset_config(self.config, 'train_dataloader').data_root
        self.data = str(Path(self.given).resolve())
        self.changes = [*train_options, *changes]
        self.tag = f'_x{digest(sorted(train_options))}' if train_options else ''
        self.lr: float = self.config.optim_wrapper.optimizer.lr
        if lr is not None and lr != self.lr:  # with the config's own the run is that of other figures
            self.lr = lr
            self.changes.append(f'{LR}={lr:g}')
            self.tag += f'_lr{lr:g}'
        self.teacher = Path(teacher).resolve() if teacher and method == DISTILL else None
        if self.teacher:
            if not self.teacher.is_file():
                raise InputError(f'--teacher {teacher}: no such file; expected the export.pth of another run')
            self.options = [*self.options, str(self.teacher)]
            self.tag += f'_t{digest(self.teacher.read_bytes())}'
        elif method == DISTILL:
            raise InputError(f'{DISTILL} needs a network to learn from: give --teacher, the export.pth of another run')

    def steps(self, lengths: Sequence[int], seeds: Sequence[int]) -> dict[tuple[int, int], Step]:
        """The step of each length and seed."""
        return {(epochs, seed): self._step(epochs, seed) for epochs in lengths for seed in seeds}

    def check(self, steps: Iterable[Step]) -> None:
        """Raise :class:`InputError` where some of the steps have not been done and cannot start: no data, say."""
        if all((self.out / path).is_file() for step in steps for path in step.makes):
            return
        try:
            image_folder_options(self.config, self.data)
            if self.own_data:  # whose number of classes the config knows
                for loader in ('train_dataloader', 'val_dataloader'):
                    dataset = dataset_config(self.config, loader)
                    ImageFolder(self.data, dataset.split, num_classes=dataset.num_classes, lazy_init=True)
            if self.teacher:
                split = dataset_config(self.config, 'train_dataloader').split
                check_teacher(self.teacher, class_folders(Path(self.data) / split))
        except InputError as error:
            # What a figure calls this option.
            raise InputError(str(error).replace('--data-root', '--pretrain-data')) from error

    def _step(self, epochs: int, seed: int) -> Step:
        """The step that makes ``export.pth`` and ``result.json``, in a folder whose name tells what determines them."""
        run = f'runs/pretrain_{self.method}_{self.ending}_{self.arch}_e{epochs}{self.tag}_seed{seed}'
        command = [self.root / 'tools/pretrain_cls.py', self.path, '--resume']
        command += ['--work-dir', self.out / run, '--data-root', self.data, '--arch', self.arch]
        command += ['--epochs', epochs, '--seed', seed, *self.options]
        command += ['--cfg-options', *self.changes] if self.changes else []
        return tool_step([f'{run}/export.pth', f'{run}/result.json'], command)
