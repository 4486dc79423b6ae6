# MobileNetV2 w0.35 for ImageNet.
model = dict(
    type='mmnetaug.Classifier',
    arch='mobilenetv2_w0.35',
    num_classes=1000,
    base_weight=1.0,  # of the tiny network's loss
    alpha=1.0,  # of the augmented network's, with netaug
    label_smoothing=0.1,
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
)
