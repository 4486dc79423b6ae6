# Photographs of 64x64 pixels (Tiny-ImageNet, a hundred of its classes) at 48 px; decoded images stay in memory.
_base_ = './cifar100.py'
data_root = 'data/tiny_imagenet100'

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.RandomResizedCrop', size=48, scale=(0.4, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip', cache=True),
            dict(type='mmnetaug.ResizeCenterCrop', size=48),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
test_dataloader = val_dataloader
