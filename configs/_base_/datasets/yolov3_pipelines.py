# SSD's augmentation for YOLOv3: images of 608x608 pixels, which batches are resized from down to 320, tested at 416.
yolov3_train_pipeline = [
    dict(type='mmnetaug.LoadImageOrSkip'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
    dict(type='mmnetaug.MinIoURandomCrop', min_ious=(0.3,), min_crop_size=0.3),
    dict(type='Resize', scale=(608, 608), keep_ratio=False),
    dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
yolov3_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmnetaug.AllBits'),
    dict(type='Resize', scale=(416, 416), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
