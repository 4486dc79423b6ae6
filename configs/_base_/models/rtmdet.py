# RTMDet (arXiv 2212.07784), depthwise and thin, on MobileNetV2 w0.35, for images of 320x320 pixels. Channels follow the
# backbone. Points at strides 8, 16 and 32 instead of anchors: any multiple of 32 may be tested.
model = dict(
    type='mmnetaug.SingleStageDetector',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='mmnetaug.TinyNet', arch='mobilenetv2_w0.35', out_features=('stride8', 'stride16', 'stride32')),
    neck=dict(
        type='mmdet.CSPNeXtPAFPN',
        out_channels=48,
        num_csp_blocks=1,
        expand_ratio=0.5,
        use_depthwise=True,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
    ),
    bbox_head=dict(
        type='mmdet.RTMDetSepBNHead',
        num_classes=20,
        stacked_convs=2,
        feat_channels=48,
        use_depthwise=True,
        # shared convolutions would save parameters, but mmdet's head fails on depthwise ones
        share_conv=False,
        pred_kernel_size=1,
        with_objectness=False,
        exp_on_reg=True,  # boxes begin two strides wide; without, as in mmdet's smallest, they begin as points
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
        anchor_generator=dict(type='mmdet.MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
        loss_cls=dict(type='mmdet.QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(type='mmnetaug.IgnoringDynamicSoftLabelAssigner', topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=300,
        min_bbox_size=0,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=200,
    ),
)
