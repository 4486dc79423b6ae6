"""Classification images in one folder a class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmnetaug.datasets.findings import Findings
from mmnetaug.datasets.images import IMAGE_SUFFIXES, NO_UTF8, is_image, is_utf8, paths_below
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError
from mmnetaug.registry import DATASETS


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names of the classes, in alphabetical order.

    Raises:
        InputError: no folder, or fewer than two classes.
    """
    expected = f'Expected one folder a class: {folder}/CLASS/*.jpg'
    if not folder.is_dir():
        raise InputError(
            f'no images at {folder}. {expected}. Give the right place with --data-root DIR, divide classes that are '
            'not yet divided (mmnetaug split DIR --out DIR), or make a small data set: mmnetaug make-data shapes, or '
            'mmnetaug make-data cifar100'
        )
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.')]
    unnamed = [path.name for path in folders if not is_utf8(path)]
    if unnamed:
        raise InputError(f'the name of class folder {folder / unnamed[0]} is no UTF-8: rename it')
    classes = tuple(sorted(path.name for path in folders))
    if len(classes) < 2:
        raise InputError(f'{len(classes)} class folders in {folder}: at least 2 are needed. {expected}')
    return classes


@DATASETS.register_module()
class ImageFolder(SeededSamples, BaseDataset):
    """``data_root/split/CLASS/*.jpg``: class names are folder names, in alphabetical order.

    Hidden files and folders are none of it. An image that the pipeline gives up (``LoadImageOrSkip``) is replaced by
    the next one.

    Args:
        data_root: the folder above the splits.
        split: ``train`` or ``val``.
        pipeline: transforms; the result of the last is an item.
        num_classes: how many classes are expected; None takes what is there.
        options: further arguments of MMEngine's ``BaseDataset``.

    Raises:
        InputError: a folder is missing or empty, or the number of classes is not ``num_classes``.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        pipeline: Sequence[dict] = (),
        num_classes: int | None = None,
        **options: Any,
    ):
        self.folder = Path(data_root) / split
        classes = class_folders(self.folder)
        if num_classes not in (None, len(classes)):
            raise InputError(
                f'{self.folder} has {len(classes)} classes and num_classes is {num_classes}. Complete the data, or '
                f'train for what is there: --data-root {data_root}'
            )
        super().__init__(data_root=data_root, metainfo={'classes': classes}, pipeline=list(pipeline), **options)

    def load_data_list(self) -> list[dict]:
        """One dict an image with ``img_path`` and ``gt_label`` (index of the class)."""
        items, findings = [], Findings()
        for label, name in enumerate(self.metainfo['classes']):
            images = []
            for path in filter(is_image, paths_below(self.folder / name)):
                if is_utf8(path):
                    images.append(path)
                else:
                    findings.add(f'{NO_UTF8} left out', path)
            if not images:
                raise InputError(
                    f'class folder {self.folder / name} has no images ({", ".join(sorted(IMAGE_SUFFIXES))}). Add '
                    'some, or remove the folder from every split'
                )
            items.extend({'img_path': path, 'gt_label': label} for path in images)
        findings.report(str(self.folder))
        return items

    def get_cat_ids(self, idx: int) -> list[int]:
        """The class of an image, for ``ClassBalancedDataset``."""
        return [self.get_data_info(idx)['gt_label']]

    def prepare_data(self, idx: int) -> Any:
        """The item at ``idx``, or the next one whose image can be decoded."""
        if idx >= len(self):
            raise IndexError(idx)
        for offset in range(len(self)):
            data = super().prepare_data((idx + offset) % len(self))
            if data is not None:
                return data
        raise InputError(f'none of the {len(self)} images in {self.folder} can be decoded')
