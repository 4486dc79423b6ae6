# CIFAR-100 at 16 px, for experiments with many runs: decoded images stay in memory, and crops are milder still.
_base_ = './pretrain_cifar100.py'
input_size = 16
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.RandomResizedCrop', size=None, scale=(0.75, 1.0)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.ResizeCenterCrop', size=None),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
train_cfg = dict(val_interval=5)
