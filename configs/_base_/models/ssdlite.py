# SSDLite (MobileNetV2 paper, section 6.2) on MobileNetV2 w0.35, for images of 320x320 pixels. Channels follow the
# backbone; levels and anchors follow the two sizes.
model = dict(
    type='mmnetaug.SingleStageDetector',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='mmnetaug.TinyNet',
        arch='mobilenetv2_w0.35',
        # the widest feature map at stride 16, and the last one
        out_features=('stride16_expansion', 'stride32'),
    ),
    neck=dict(
        type='mmnetaug.SSDLiteNeck',
        size=320,
        use_depthwise=True,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='Kaiming', layer='Conv2d', nonlinearity='relu'),
    ),
    bbox_head=dict(
        type='mmnetaug.SSDLiteHead',
        num_classes=20,
        use_depthwise=True,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.01),
        anchor_generator=dict(
            type='mmnetaug.SSDLiteAnchorGenerator',
            size=320,
            # from 0.35 about as published; from 0.08 and 0.2 on half as many anchors overlap with an object
            first_anchor=0.12,
            anchor_range=(0.35, 1.05),
            ratios=(2, 3),
        ),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
    ),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner',
            iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
            # SSD takes 0.5, with a first level at stride 8; at stride 16 half of the small objects have no such anchor
            pos_iou_thr=0.4,
            neg_iou_thr=0.4,
            min_pos_iou=0.0,
            ignore_iof_thr=0.5,  # anchors on "difficult" or crowd boxes are neither object nor background
            gt_max_assign_all=False,
        ),
        sampler=dict(type='mmdet.PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
    ),
    test_cfg=dict(
        nms_pre=150,  # candidates a level: of mmdet's 1000 those behind them bring a tenth of a point of AP50
        nms=dict(type='nms', iou_threshold=0.45),
        min_bbox_size=0,
        score_thr=0.02,
        max_per_img=200,
    ),
)
