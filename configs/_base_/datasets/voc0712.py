# Pascal VOC: 07+12 trainval to train on, 07 test to test on. The pipelines are SSD's, for 320x320 pixels.
dataset_type = 'mmnetaug.VOCDetection'
data_root = 'data/VOCdevkit/'

train_pipeline = [
    dict(type='mmnetaug.LoadImageOrSkip'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
    # SSD asks for overlaps of up to 0.9 too
    dict(type='mmnetaug.MinIoURandomCrop', min_ious=(0.3,), min_crop_size=0.3),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    # no hue and no swapped channels as in SSD, which was not compared
    dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
# better than expansion and crops in a training of few epochs
light_train_pipeline = [
    dict(type='mmnetaug.LoadImageOrSkip'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmnetaug.AllBits'),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='mmnetaug.collate_detection'),
    drop_last=True,
    sampler=dict(type='mmnetaug.ResumableSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=['VOC2007/ImageSets/Main/trainval.txt', 'VOC2012/ImageSets/Main/trainval.txt'],
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='mmnetaug.collate_detection'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=['VOC2007/ImageSets/Main/test.txt'],
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='mmnetaug.VOCAveragePrecision')]
test_evaluator = val_evaluator
