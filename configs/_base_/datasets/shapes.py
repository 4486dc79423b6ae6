# Twenty classes of drawn shapes (mmnetaug make-data shapes) at 48 px.
_base_ = './cifar100.py'
data_root = 'data/shapes/cls'

train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        data_root=data_root,
        num_classes=20,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.RandomResizedCrop', size=48, scale=(0.4, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        num_classes=20,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.ResizeCenterCrop', size=48),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
test_dataloader = val_dataloader
