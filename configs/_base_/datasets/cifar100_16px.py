# CIFAR-100 at 16 px, for experiments with many runs: decoded images stay in memory, and crops are milder still.
_base_ = './cifar100.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.RandomResizedCrop', size=16, scale=(0.75, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.ResizeCenterCrop', size=16),
            dict(type='mmnetaug.PackClassification'),
        ]
    )
)
test_dataloader = val_dataloader
