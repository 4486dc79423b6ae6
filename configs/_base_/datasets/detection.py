# SSD's augmentation on any folder in VOC or COCO layout. tools/train.py finds the data sets in data_root and fills in
# them, their evaluators, the image size and the number of workers.
data_root = None
mixup = False  # detection mixup (arXiv 1902.04103) until the last tenth of training
classes = None  # all that the annotations name, or a list of some

train_dataloader = dict(
    batch_size=16,
    num_workers=None,  # as many as there are cores, at most 8
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
            # SSD asks for overlaps of up to 0.9 too: small objects rarely have one, and the vain search for it takes
            # longer than a training step of a tiny network
            dict(type='MinIoURandomCrop', min_ious=(0.3,), min_crop_size=0.3),
            dict(type='Resize', scale=None, keep_ratio=False),
            dict(type='RandomFlip', prob=0.5),
            # no hue and no swapped channels as in SSD: colour is much of what a tiny network can tell objects by
            dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=None,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=None, keep_ratio=False),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
    ),
)
