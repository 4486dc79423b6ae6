"""Runs that train, test and export detectors as steps of a graph."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmengine.config import Config

from mmnetaug.apis.image_sizes import multi_scale_range
from mmnetaug.archs import get_arch
from mmnetaug.workflow.graph import Step, digest, tool_step

if TYPE_CHECKING:
    from mmnetaug.workflow.fig5 import Settings

# What detectors may start from beside checkpoints, as in ``mmnetaug train --pretrained``.
WEIGHTS = ('none', 'imagenet')


class Line(NamedTuple):
    """A curve of the figure.

    Attributes:
        name: in the figure.
        recipe: METHOD of the config that its detectors are trained with.
        backbones: seed -> what training starts from, as ``--pretrained`` of ``mmnetaug train``, and how names of runs
            call it.
    """

    name: str
    recipe: str
    backbones: Mapping[int, tuple[str, str]]


class Detectors:
    """The runs that train, test and export detectors, under names that tell what determines them.

    Args:
        settings: of figure 5.
        root, out: as in :func:`~mmnetaug.workflow.fig5.plan_fig5`.
        config: of the baseline, with the changes of ``settings``.
        data: folder that they are trained and tested on, absolute.
    """

    def __init__(self, settings: 'Settings', root: Path, out: Path, config: Config, data: Path):
        self.root, self.out, self.head, self.data = root, out, settings.head, data
        self.several, self.int8 = multi_scale_range(config), settings.int8
        self.arch = get_arch(settings.arch).name
        self.epochs = settings.epochs or config.train_cfg.max_epochs
        self.options, self.tag = [], ''
        for letter, option, value in [('b', '--batch-size', settings.batch_size), ('lr', '--lr', settings.lr)]:
            if value is not None:
                self.options += [option, value]
                self.tag += f'_{letter}{value}'
        if settings.classes:
            self.options += ['--classes', *settings.classes]
            self.tag += f'_c{digest(list(settings.classes))}'
        self.changes = ['--cfg-options', *settings.train_options] if settings.train_options else []
        if settings.train_options:
            self.tag += f'_x{digest(sorted(settings.train_options))}'

    def steps(
        self, config: Path, line: Line, seed: int, size: int, train_size: int
    ) -> tuple[dict[str, str], list[Step]]:
        """Paths of the results of one detector, tested at ``size``, by the keys of a point, and the steps to them."""
        backbone, origin = line.backbones[seed]
        needs, start = ([], backbone) if backbone in WEIGHTS else ([backbone], self.out / backbone)
        name = f'{self.head}_{self.arch}_{line.recipe}_{train_size}px_e{self.epochs}{self.tag}_{origin}_seed{seed}'
        run, data = f'runs/{name}', ['--data-root', self.data]
        export = f'{run}/export.pth'
        train = [self.root / 'tools/train.py', config, '--resume', '--work-dir', self.out / run, *data]
        train += ['--pretrained', start, '--arch', self.arch, '--size', train_size, '--epochs', self.epochs]
        train += ['--seed', seed, *self.options, *self.changes]
        results = {'result': f'{run}/result.json'}
        steps = [tool_step([export, results['result']], train, needs)]
        if self.several:
            results['result'] = f'{run}/test_{size}.json'
            test = [self.root / 'tools/test.py', config, self.out / export, *data, '--size', size]
            test += ['--out', self.out / results['result'], '--work-dir', self.out / run / f'test_{size}']
            steps.append(tool_step([results['result']], [*test, *self.changes], [export]))
        if self.int8:
            results['int8'] = f'{run}/int8.json'
            write = [self.root / 'tools/export.py', self.out / export, '--format', 'onnx', '--int8', *data]
            steps.append(tool_step([results['int8']], [*write, '--json', self.out / results['int8']], [export]))
        return results, steps
