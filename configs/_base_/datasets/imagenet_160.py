# ImageNet-1K at 160 px.
dataset_type = 'mmnetaug.ImageFolder'
data_root = 'data/imagenet'

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmnetaug.ResumableSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        num_classes=1000,
        pipeline=[
            dict(type='mmnetaug.LoadRandomResizedCrop', size=160, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='val',
        num_classes=1000,
        pipeline=[
            dict(type='mmnetaug.LoadResizeCenterCrop', size=160),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmnetaug.TopK', topk=(1, 5))
test_evaluator = val_evaluator
