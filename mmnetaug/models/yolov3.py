"""YOLOv3 (Redmon and Farhadi 2018) on any of our backbones, out of MMDetection's parts."""

from collections.abc import Sequence
from typing import Optional

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.models.detectors import YOLOV3, SingleStageDetector
from mmdet.models.necks import YOLOV3Neck
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmnetaug.models.archs import get_arch
from mmnetaug.models.backbone import stride_indices
from mmnetaug.models.ssdlite import check_size
from mmnetaug.registry import MODELS

STRIDES = (32, 16, 8)
# YOLOv3's anchors (width, height) for images of 416 pixels, from stride 32 to stride 8.
ANCHORS_AT_416 = (((116, 90), (156, 198), (373, 326)), ((30, 61), (62, 45), (59, 119)), ((10, 13), (16, 30), (33, 23)))
# Widest neck and head; mmdet's YOLOv3 for MobileNetV2 has 96 beside 96 channels at stride 16.
MAX_WIDTH = 256
# An anchor is not background from this IoU with an object on, nor with this share of it in one to be ignored.
IGNORE_ABOVE = 0.5
TRAIN_CFG = ConfigDict(
    assigner={
        'type': 'mmdet.GridAssigner',
        'iou_calculator': {'type': 'mmdet.BboxOverlaps2D'},
        'pos_iou_thr': 0.5,
        'neg_iou_thr': IGNORE_ABOVE,
        'min_pos_iou': 0,
    }
)
TEST_CFG = ConfigDict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    conf_thr=0.005,
    nms={'type': 'nms', 'iou_threshold': 0.45},
    max_per_img=100,
)


class YOLOv3Head(YOLOV3Head):
    """mmdet's head, with three differences in the loss.

    - It is the mean over the images of a batch, as the paper's learning rates expect, instead of the sum.
    - Anchors that overlap with objects to be ignored (VOC's "difficult", COCO's crowds) are not background.
    - With detection mixup an object's weight is the objectness target of its anchor and weighs its other losses
      (arXiv 1902.04103). ``gt_instances.weights`` (n,) holds it; where that is absent every weight is 1.
    """

    def loss_by_feat(
        self,
        pred_maps: Sequence[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: Optional[list[InstanceData]] = None,
    ) -> dict[str, list[Tensor]]:
        """As in mmdet: losses of each level, ``pred_maps`` of (N, anchors * (5 + classes), H, W)."""
        for objects, ignored in zip(batch_gt_instances, batch_gt_instances_ignore or ()):
            objects.set_metainfo({'ignored': ignored.bboxes})
        losses = super().loss_by_feat(pred_maps, batch_gt_instances, batch_img_metas)
        return {name: [loss / len(batch_img_metas) for loss in levels] for name, levels in losses.items()}

    def _get_targets_single(
        self, anchors: list[Tensor], responsible_flags: list[Tensor], gt_instances: InstanceData
    ) -> tuple[Tensor, Tensor]:
        targets, background = super()._get_targets_single(anchors, responsible_flags, gt_instances)
        background = background.float()
        anchors = torch.cat(anchors)
        ignored = gt_instances.get('ignored')
        if ignored is not None and len(ignored):
            for mode in ('iou', 'iof'):  # like an object, and inside a crowd
                background[bbox_overlaps(anchors, ignored, mode).amax(dim=1) > IGNORE_ABOVE] = 0
        if 'weights' in gt_instances:
            # once more, as mmdet does not return which object an anchor took
            priors = InstanceData(priors=anchors, responsible_flags=torch.cat(responsible_flags))
            matched = self.assigner.assign(priors, gt_instances).gt_inds
            objects = matched > 0
            weights = gt_instances.weights[matched[objects] - 1]
            targets[objects, 4] = weights
            # mmdet weighs the loss of objectness by the sum of both, which is to stay 1
            background[objects] = 1 - weights
        return targets, background


@MODELS.register_module()
class YOLOv3(YOLOV3):
    """mmdet's YOLOv3 at strides 8, 16 and 32, with depthwise separable convolutions and widths of the backbone.

    Neck and head are as wide as the backbone's feature map at stride 16, at most 256: on MobileNetV2 1.0 these are
    the 96 channels of mmdet's YOLOv3 for it.

    Args:
        backbone: configuration of a :class:`~mmnetaug.models.backbone.TinyNet`, without ``out_indices``.
        num_classes: object classes.
        size: side in pixels of the square images that the anchors suit, a multiple of 32 of at least 96. Images
            of other such sizes may be given too.
        depthwise: make every 3x3 convolution of neck and head depthwise separable.
        test_cfg: entries that replace those of ``TEST_CFG``, such as ``dict(score_thr=0.3)``.
        data_preprocessor, init_cfg: as in mmdet's detectors.

    Raises:
        InputError: an impossible size, or a network that does not reach stride 32.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        size: int = 416,
        depthwise: bool = True,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        check_size(size)
        super(SingleStageDetector, self).__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        indices = stride_indices(get_arch(backbone['arch']))
        self.backbone = MODELS.build({**backbone, 'out_indices': indices})
        self.train_cfg = TRAIN_CFG
        self.test_cfg = ConfigDict({**TEST_CFG, **(test_cfg or {})})
        channels = self.backbone.out_channels
        widths = [min(MAX_WIDTH, channels[1])] * 3
        self.neck = YOLOV3Neck(num_scales=3, in_channels=channels[::-1], out_channels=widths)
        sums = {'use_sigmoid': True, 'reduction': 'sum'}
        self.bbox_head = YOLOv3Head(
            num_classes=num_classes,
            in_channels=widths,
            out_channels=widths,
            featmap_strides=STRIDES,
            anchor_generator={
                'type': 'mmdet.YOLOAnchorGenerator',
                'strides': STRIDES,
                'base_sizes': [[(w * size / 416, h * size / 416) for w, h in level] for level in ANCHORS_AT_416],
            },
            bbox_coder={'type': 'mmdet.YOLOBBoxCoder'},
            loss_cls={'type': 'mmdet.CrossEntropyLoss', 'loss_weight': 1.0, **sums},
            loss_conf={'type': 'mmdet.CrossEntropyLoss', 'loss_weight': 1.0, **sums},
            loss_xy={'type': 'mmdet.CrossEntropyLoss', 'loss_weight': 2.0, **sums},
            loss_wh={'type': 'mmdet.MSELoss', 'loss_weight': 2.0, 'reduction': 'sum'},
            train_cfg=self.train_cfg,
            test_cfg=self.test_cfg,
        )
        if depthwise:
            _make_depthwise(self.neck)
            _make_depthwise(self.bbox_head)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) normalised images, H and W multiples of 32 -> features at strides 32, 16 and 8."""
        return super().extract_feat(batch_inputs.contiguous(memory_format=torch.channels_last))


def _make_depthwise(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, ConvModule) and child.kernel_size == (3, 3):
            separable = DepthwiseSeparableConvModule(
                child.in_channels,
                child.out_channels,
                3,
                padding=1,
                norm_cfg={'type': 'BN'},
                act_cfg={'type': 'LeakyReLU', 'negative_slope': 0.1},
            )
            setattr(module, name, separable)
        else:
            _make_depthwise(child)
