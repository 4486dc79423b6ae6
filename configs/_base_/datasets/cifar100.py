# CIFAR-100 (32x32 images), a small-scale stand-in for ImageNet, with milder augmentation: tiny networks under-fit.
_base_ = './imagenet_160.py'
data_root = 'data/cifar100'

train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        num_classes=100,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.RandomResizedCrop', size=32, scale=(0.4, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        num_classes=100,
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.ResizeCenterCrop', size=32),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
test_dataloader = val_dataloader
