"""A single-stage detector whose neck and head are told their channels."""

import copy

import torch
from mmdet.models.detectors import SingleStageDetector as _SingleStageDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict
from torch import Tensor

from mmnetaug.errors import InputError
from mmnetaug.registry import MODELS


@MODELS.register_module()
class SingleStageDetector(_SingleStageDetector):
    """mmdet's, where ``in_channels`` follow: the neck's from the backbone, the head's from the neck.

    A part that its configuration gives ``in_channels`` keeps them. Any neck and head of mmdet will do; a neck tells the
    head its channels by its ``out_channels``, one number or one for each level.

    Args:
        backbone: configuration of a backbone with ``out_channels``, such as
            :class:`~mmnetaug.models.backbones.TinyNet`.
        neck: its configuration, or those of several, one behind the other.
        bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg: as in mmdet's detectors.

    Raises:
        InputError: no head, a head without ``num_classes``, or a neck for other channels than the backbone gives.
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

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) normalised images, H and W multiples of the largest stride -> one feature map a level."""
        # On a CPU depthwise convolutions and normalisation run up to 1.5 times faster in this memory layout.
        return super().extract_feat(batch_inputs.contiguous(memory_format=torch.channels_last))


def _pass_on_channels(backbone: dict, neck: dict | list[dict] | None, bbox_head: dict) -> None:
    """Add the ``in_channels`` that are missing (what detectron2 does with a ShapeSpec)."""
    channels = _out_channels(backbone)
    for part in [neck] if isinstance(neck, dict) else neck or ():
        if channels is not None and not _fit(part.setdefault('in_channels', channels), channels):
            raise InputError(
                f'the neck {part["type"]} is for feature maps of {part["in_channels"]} channels and what comes before '
                f'it has {channels}: leave in_channels out, and choose the feature maps with '
                'model.backbone.out_features'
            )
        channels = _out_channels(part)
    if channels is not None:
        bbox_head.setdefault('in_channels', channels)


def _fit(wanted: int | list[int], given: int | list[int]) -> bool:
    """Whether channels are the same: one number for all levels, or one for each, which some necks list backwards."""
    if isinstance(wanted, int) or isinstance(given, int):
        return {*([wanted] if isinstance(wanted, int) else wanted)} == {*([given] if isinstance(given, int) else given)}
    return sorted(wanted) == sorted(given)


def _out_channels(part: dict) -> int | list[int] | None:
    """Of a backbone or a neck, which is built without allocating, initialising or drawing anything."""
    with torch.device('meta'):
        module = MMDET_MODELS.build({key: value for key, value in part.items() if key != 'init_cfg'})
    channels = getattr(module, 'out_channels', None)
    return list(channels) if isinstance(channels, tuple) else channels
