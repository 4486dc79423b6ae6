"""A single-stage detector whose neck and head are told their channels."""

import copy
from contextlib import suppress
from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector as _SingleStageDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict
from torch import Tensor, nn
from torch.nn.modules.utils import _pair
from torch.overrides import TorchFunctionMode

from mmnetaug.errors import InputError
from mmnetaug.registry import MODELS


@MODELS.register_module()
class SingleStageDetector(_SingleStageDetector):
    """mmdet's, where ``in_channels`` follow: the neck's from the backbone, the head's from the neck.

    A part that its configuration gives ``in_channels`` keeps them. Any neck and head of mmdet will do; a neck tells
    its channels to the neck or head behind it by its ``out_channels``, one number or one for each level.

    Args:
        backbone: configuration of a backbone with ``out_channels``, such as
            :class:`~mmnetaug.models.backbones.TinyNet`.
        neck: its configuration, or those of several, one behind the other.
        bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg: as in mmdet's detectors.

    Raises:
        InputError: no head, a head without ``num_classes``, a neck for other channels than the backbone gives, or a
            head for other feature maps than it gets.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | list[dict] | None = None,
        bbox_head: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        backbone, neck, bbox_head = (copy.deepcopy(part) for part in (backbone, neck, bbox_head))
        if not bbox_head:
            raise InputError('the detector has no bbox_head: give it one, such as dict(type="mmnetaug.SSDLiteHead")')
        if not isinstance(bbox_head.get('num_classes'), int):
            raise InputError(
                f'{bbox_head["type"]} has no num_classes: give it one (model.bbox_head.num_classes=20 for Pascal VOC); '
                '--data-root takes as many as the data have'
            )
        _pass_on_channels(backbone, neck, bbox_head)
        parts = [part and ConfigDict(copy.deepcopy(part)) for part in (train_cfg, test_cfg, data_preprocessor)]
        super().__init__(backbone, neck, bbox_head, *parts, init_cfg)
        parts_before = [self.backbone, *([self.neck] if self.with_neck else [])]
        _check_strides(parts_before, getattr(self.bbox_head, 'prior_generator', None))

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) normalised images, H and W multiples of the largest stride -> one feature map a level."""
        # On a CPU depthwise convolutions and normalisation run up to 1.5 times faster in this memory layout.
        return super().extract_feat(batch_inputs.contiguous(memory_format=torch.channels_last))


def _pass_on_channels(backbone: dict, neck: dict | list[dict] | None, bbox_head: dict) -> None:
    """Add the ``in_channels`` that are missing (what detectron2 does with a ShapeSpec)."""
    before = [_on_meta(backbone)]
    channels = _out_channels(before[0], backbone)
    for part in [neck] if isinstance(neck, dict) else neck or ():
        if channels is not None and 'in_channels' not in part:
            part['in_channels'] = _as_taken(part, channels, before)
        if channels is not None and not _fit(part['in_channels'], channels):
            raise InputError(
                f'the neck {part["type"]} is for feature maps of {part["in_channels"]} channels and what comes before '
                f'it has {channels}: leave in_channels out, and choose the feature maps with '
                'model.backbone.out_features'
            )
        before.append(_on_meta(part))
        channels = _out_channels(before[-1], part)
    if channels is not None:
        bbox_head.setdefault('in_channels', channels)


def _as_taken(neck: dict, channels: int | list[int], before: list[nn.Module]) -> int | list[int]:
    """The channels that a neck gets, as it takes them: one number for each level, or one for all (DyHead)."""
    if isinstance(channels, list):
        return channels
    try:
        each = [channels] * len(_feature_maps([module.to_empty(device='cpu') for module in before], 128))
    except Exception:  # a part that takes no such image
        return channels
    try:
        _on_meta({**neck, 'in_channels': each})
    except Exception:
        with suppress(Exception):
            _on_meta({**neck, 'in_channels': channels})
            return channels
        raise
    return each


def _fit(wanted: int | list[int], given: int | list[int]) -> bool:
    """Whether channels are the same: one number for all levels, or one for each, which some necks list backwards."""
    if isinstance(wanted, int) or isinstance(given, int):
        return {*([wanted] if isinstance(wanted, int) else wanted)} == {*([given] if isinstance(given, int) else given)}
    return sorted(wanted) == sorted(given)


def _on_meta(part: dict) -> nn.Module:
    """A backbone or a neck, built without allocating, initialising or drawing anything."""
    with torch.device('meta'), _NoInitialisation():
        return MMDET_MODELS.build({key: value for key, value in part.items() if key != 'init_cfg'}).eval()


class _NoInitialisation(TorchFunctionMode):
    """Leaves out what changes values in place: for tensors without data PyTorch would load its compiler to do nothing,
    which takes two seconds."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        in_place = func.__name__.endswith('_') and not func.__name__.endswith('__')
        return (*args, *kwargs.values())[0] if in_place else func(*args, **kwargs)


def _out_channels(module: nn.Module, part: dict) -> int | list[int] | None:
    channels = getattr(module, 'out_channels', None) or part.get('out_channels')
    return list(channels) if isinstance(channels, tuple) else channels


@torch.no_grad()
def _feature_maps(parts: list[nn.Module], side: int) -> tuple[Tensor, ...]:
    """What a backbone, or one and the necks behind it, give for an empty image of ``side`` by ``side`` pixels."""
    features = torch.zeros(1, getattr(parts[0], 'in_channels', 3), side, side)
    for module in parts:
        training = module.training
        module.eval()  # which gives nothing back in some of mmdet's backbones
        try:
            features = module(features)
        finally:
            module.train(training)
    return features


def _check_strides(before_head: list[nn.Module], prior_generator: object) -> None:
    """Whether the head's priors are for the feature maps that it gets: as many, at the same strides.

    Only strides up to 32 are compared: images need not be a multiple of larger ones, and SSD's follow its images.
    """
    expected = getattr(prior_generator, 'strides', None)
    if expected is None:
        return
    side = 128  # a multiple of all strides that are compared
    try:
        found = [side // feature.shape[2] for feature in _feature_maps(before_head, side)]
    except Exception:  # a part that takes no such image is not checked
        return
    wanted = [_pair(stride)[1] for stride in expected]
    if len(wanted) != len(found) or any(theirs != own and own <= 32 for theirs, own in zip(wanted, found)):
        raise InputError(
            f'the head is for {len(wanted)} feature maps of strides {[round(stride) for stride in wanted]} and gets '
            f'{len(found)} of strides {found}: choose them with model.backbone.out_features and the neck '
            '(num_outs), and give the head the same strides'
        )
