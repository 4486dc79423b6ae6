# YOLOv3 (Redmon and Farhadi 2018) at strides 8, 16 and 32 on MobileNetV2 w0.35, with depthwise separable convolutions,
# trained on batches of 320 to 608 pixels and tested at 416. Channels follow the backbone.
model = dict(
    type='mmnetaug.SingleStageDetector',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        batch_augments=[
            dict(
                type='mmnetaug.MultiScaleResize',
                random_size_range=(320, 608),
                size_divisor=32,
                # mmdet's 10 leave the statistics of normalisation to the last two sizes, not to those that are tested
                interval=1,
            ),
        ],
    ),
    backbone=dict(type='mmnetaug.TinyNet', arch='mobilenetv2_w0.35', out_features=('stride8', 'stride16', 'stride32')),
    neck=dict(type='mmnetaug.YOLOv3Neck', max_channels=256, depthwise=True),
    bbox_head=dict(
        type='mmnetaug.YOLOv3Head',
        num_classes=20,
        depthwise=True,
        ignore_above=0.5,
        featmap_strides=(32, 16, 8),
        anchor_generator=dict(
            type='mmnetaug.YOLOv3AnchorGenerator',
            size=416,
            strides=(32, 16, 8),
            # for images of 416 pixels
            base_sizes=[
                [(116, 90), (156, 198), (373, 326)],
                [(30, 61), (62, 45), (59, 119)],
                [(10, 13), (16, 30), (33, 23)],
            ],
        ),
        bbox_coder=dict(type='mmdet.YOLOBBoxCoder'),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0, reduction='sum'),
        loss_conf=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0, reduction='sum'),
        loss_xy=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=2.0, reduction='sum'),
        loss_wh=dict(type='mmdet.MSELoss', loss_weight=2.0, reduction='sum'),
    ),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.GridAssigner',
            iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0,
        )
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        conf_thr=0.005,
        nms=dict(type='nms', iou_threshold=0.45),
        max_per_img=100,
    ),
)
