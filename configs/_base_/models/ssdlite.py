# SSDLite on one of our backbones. tools/train.py fills in what follows from arch, size and pretrained.
arch = 'mobilenetv2_w0.35'
size = 320  # side of the square images in pixels, a multiple of 32
pretrained = None  # 'netaug', 'baseline' (export.pth of that configs/pretrain), a path, or None for random weights

model = dict(
    type='mmnetaug.SSDLite',
    backbone=dict(type='mmnetaug.TinyNet', arch=None),
    num_classes=None,
    size=None,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
)
