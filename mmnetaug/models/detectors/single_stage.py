"""A single-stage detector whose neck and head are told their channels."""

import copy
from typing import Any

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
        neck, bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg: as in mmdet's detectors.

    Raises:
        InputError: no head, a head without ``num_classes``, or a neck for other channels than the backbone gives.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        bbox_head: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        backbone, neck, bbox_head = (part and ConfigDict(copy.deepcopy(part)) for part in (backbone, neck, bbox_head))
        if not bbox_head:
            raise InputError('the detector has no bbox_head: give it one, such as dict(type="mmnetaug.SSDLiteHead")')
        if not isinstance(bbox_head.get('num_classes'), int):
            raise InputError(
                f'{bbox_head.type} has no num_classes: give it one (model.bbox_head.num_classes=20 for Pascal VOC); '
                '--data-root takes as many as the data have'
            )
        _pass_on_channels(backbone, neck, bbox_head)
        train_cfg, test_cfg = (ConfigDict(copy.deepcopy(part)) if part else part for part in (train_cfg, test_cfg))
        super().__init__(backbone, neck, bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) normalised images, H and W multiples of the largest stride -> one feature map a level."""
        # On a CPU depthwise convolutions and normalisation run up to 1.5 times faster in this memory layout.
        return super().extract_feat(batch_inputs.contiguous(memory_format=torch.channels_last))


def _pass_on_channels(backbone: ConfigDict, neck: ConfigDict | None, bbox_head: ConfigDict) -> None:
    """Add the ``in_channels`` that are missing (what detectron2 does with a ShapeSpec)."""
    channels = getattr(_without_weights(backbone), 'out_channels', None)
    if neck:
        if channels is not None and _levels(neck.setdefault('in_channels', list(channels))) != _levels(channels):
            raise InputError(
                f'the neck {neck.type} is for feature maps of {neck.in_channels} channels and the backbone '
                f'{backbone.type} has {list(channels)}: leave in_channels out, and choose the feature maps with '
                'model.backbone.out_features'
            )
        channels = neck.get('out_channels') or getattr(_without_weights(neck), 'out_channels', None)
    if channels is not None:
        bbox_head.setdefault('in_channels', channels)


def _levels(channels: Any) -> list[int]:
    """In one order, as some necks list them from low to high resolution."""
    return sorted([channels] if isinstance(channels, int) else channels)


def _without_weights(part: ConfigDict) -> torch.nn.Module:
    """The part, to be asked for its channels: nothing is allocated, initialised or drawn."""
    with torch.device('meta'):
        return MMDET_MODELS.build({key: value for key, value in part.items() if key != 'init_cfg'})
