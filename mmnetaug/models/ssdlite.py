"""SSDLite (MobileNetV2 paper, section 6.2) on any of our backbones, out of MMDetection's parts."""

from typing import Optional

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.necks import SSDNeck
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmnetaug.errors import InputError
from mmnetaug.models.archs import get_arch, round_to_8
from mmnetaug.models.backbone import stride_indices
from mmnetaug.registry import MODELS

MAX_LEVELS = 6
# Extra layers of SSDLite on MobileNetV2, where the first level has 576 channels.
EXTRA_WIDTHS = (512, 256, 256, 128)
EXTRA_WIDTHS_BESIDE = 576
# Anchor sides as fractions of the image: the first level's, and from the second to just beyond the last: SSD's
# for VOC (0.1; 0.2 to 0.88 by 0.17), with a smaller first one for small objects.
FIRST_ANCHOR = 0.08
ANCHOR_RANGE = (0.2, 1.05)
ASPECT_RATIOS = [2, 3]
TEST_CFG = ConfigDict(
    nms_pre=150,  # candidates a level; mmdet's 1000 spend more time in NMS than the network takes
    nms={'type': 'nms', 'iou_threshold': 0.45},
    min_bbox_size=0,
    score_thr=0.02,
    max_per_img=200,
)
TRAIN_CFG = ConfigDict(
    assigner={
        'type': 'mmdet.MaxIoUAssigner',
        'iou_calculator': {'type': 'mmdet.BboxOverlaps2D'},
        # SSD takes 0.5, with a first level at stride 8; at stride 16 half of the small objects have no such anchor
        'pos_iou_thr': 0.4,
        'neg_iou_thr': 0.4,
        'min_pos_iou': 0.0,
        'ignore_iof_thr': 0.5,  # anchors on "difficult" or crowd boxes are neither object nor background
        'gt_max_assign_all': False,
    },
    sampler={'type': 'mmdet.PseudoSampler'},
    smoothl1_beta=1.0,
    allowed_border=-1,
    pos_weight=-1,
    neg_pos_ratio=3,
)


def feature_sizes(size: int) -> list[int]:
    """Side of each level's feature map for images of ``size`` pixels: at most six, down to the first of 1x1.

    Raises:
        InputError: ``size`` is no multiple of 32 or below 96.
    """
    check_size(size)
    sides = [size // 16, size // 32]
    while len(sides) < MAX_LEVELS and sides[-1] > 1:
        sides.append((sides[-1] + 1) // 2)
    return sides


def check_size(size: int) -> None:
    """Raise :class:`InputError` unless images of ``size`` pixels fit the strides of our detectors."""
    if size < 96 or size % 32:
        raise InputError(f'image size {size}: expected a multiple of 32 of at least 96, such as 320')


def anchor_generator(size: int) -> dict:
    """Configuration of mmdet's ``SSDAnchorGenerator``: six anchors at each place of each level.

    Level k has squares of sides s_k and sqrt(s_k * s_k+1), and s_k at the aspect ratios 1/2, 2, 1/3 and 3, centred
    in cells of size / (side of its feature map) pixels.
    """
    sides = feature_sizes(size)
    others = torch.linspace(*ANCHOR_RANGE, steps=len(sides)).tolist()
    anchors = [size * fraction for fraction in (FIRST_ANCHOR, *others)]
    return {
        'type': 'mmdet.SSDAnchorGenerator',
        'scale_major': False,
        'strides': [size / side for side in sides],
        'ratios': [ASPECT_RATIOS] * len(sides),
        'min_sizes': anchors[:-1],
        'max_sizes': anchors[1:],
    }


class SSDLiteHead(SSDHead):
    """mmdet's head; with detection mixup an object's weight weighs the losses of its anchors (arXiv 1902.04103).

    ``gt_instances.weights`` (n,) holds it; where that is absent every weight is 1.
    """

    def _get_targets_single(
        self, flat_anchors: Tensor, valid_flags: Tensor, gt_instances: InstanceData, *args, **kwargs
    ) -> tuple:
        targets = super()._get_targets_single(flat_anchors, valid_flags, gt_instances, *args, **kwargs)
        labels, label_weights, _, bbox_weights, _, _, sampling = targets
        if 'weights' in gt_instances:
            weights = gt_instances.weights[sampling.pos_assigned_gt_inds]
            objects = labels < self.num_classes  # in the order of sampling.pos_inds
            label_weights[objects] *= weights
            bbox_weights[objects] *= weights[:, None]
        return targets


@MODELS.register_module()
class SSDLite(SingleStageDetector):
    """SSD with depthwise extra layers and predictors; widths, levels and anchors follow the backbone and the size.

    The first level is the widest feature map at stride 16, the expansion in the first block of the last stage; the
    second is the backbone's last layer, at stride 32; the others are extra layers as wide, relative to the first
    level, as on MobileNetV2 1.0, but never wider than there.

    Args:
        backbone: configuration of a :class:`~mmnetaug.models.backbone.TinyNet`, without ``out_indices``.
        num_classes: object classes, background excluded.
        size: side of the square images in pixels, a multiple of 32 of at least 96.
        test_cfg: entries that replace those of ``TEST_CFG``, such as ``dict(score_thr=0.3)``.
        data_preprocessor, init_cfg: as in mmdet's detectors.

    Raises:
        InputError: an impossible size, or a network that does not reach stride 32.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        size: int = 320,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super(SingleStageDetector, self).__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        arch = get_arch(backbone['arch'])
        self.backbone = MODELS.build({**backbone, 'out_indices': stride_indices(arch)[-1:]})
        self.train_cfg = TRAIN_CFG
        self.test_cfg = ConfigDict({**TEST_CFG, **(test_cfg or {})})
        anchors = anchor_generator(size)
        inputs = (arch.stages[-1][0].mid, *self.backbone.out_channels)
        multiplier = min(1.0, inputs[0] / EXTRA_WIDTHS_BESIDE)
        extras = [round_to_8(width * multiplier) for width in EXTRA_WIDTHS[: len(anchors['strides']) - 2]]
        widths = (*inputs, *extras)
        layers = {'use_depthwise': True, 'norm_cfg': {'type': 'BN'}, 'act_cfg': {'type': 'ReLU6'}}
        self.neck = SSDNeck(
            in_channels=inputs,
            out_channels=widths,
            level_strides=[2] * len(extras),
            level_paddings=[1] * len(extras),
            l2_norm_scale=None,
            init_cfg={'type': 'Kaiming', 'layer': 'Conv2d', 'nonlinearity': 'relu'},
            **layers,
        )
        self.bbox_head = SSDLiteHead(
            num_classes=num_classes,
            in_channels=widths,
            anchor_generator=anchors,
            bbox_coder={
                'type': 'mmdet.DeltaXYWHBBoxCoder',
                'target_means': [0.0, 0.0, 0.0, 0.0],
                'target_stds': [0.1, 0.1, 0.2, 0.2],
            },
            train_cfg=self.train_cfg,
            test_cfg=self.test_cfg,
            init_cfg={'type': 'Normal', 'layer': 'Conv2d', 'std': 0.01},
            **layers,
        )

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, size, size) normalised images -> one feature map a level."""
        # On a CPU depthwise convolutions and normalisation run up to 1.5 times faster in this memory layout.
        batch_inputs = batch_inputs.contiguous(memory_format=torch.channels_last)
        expansions = []
        expand = self.backbone.stages[-1][0].expand
        with expand.register_forward_hook(lambda module, inputs, output: expansions.append(output)):
            features = self.backbone(batch_inputs)
        return self.neck((*expansions, *features))
