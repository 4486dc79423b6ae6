# GFL's head (arXiv 2006.04388): quality focal loss and distributions of edges, which NanoDet-Plus and PicoDet build on,
# with the neck of RTMDet, depthwise and thin, on MobileNetV2 w0.35, for images of 320x320 pixels. Channels follow.
_base_ = './rtmdet.py'
model = dict(
    bbox_head=dict(
        _delete_=True,
        type='mmnetaug.DepthwiseGFLHead',
        share_conv=False,  # batch normalisation, shared as well, would mix the statistics of the levels
        num_classes=20,
        stacked_convs=2,
        feat_channels=48,
        reg_max=7,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', ratios=[1.0], octave_base_scale=5, scales_per_octave=1, strides=[8, 16, 32]
        ),
        loss_cls=dict(type='mmdet.QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type='mmdet.DistributionFocalLoss', loss_weight=0.25),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        _delete_=True,
        assigner=dict(type='mmnetaug.IgnoringATSSAssigner', topk=9),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
)
