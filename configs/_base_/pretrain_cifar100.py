# CIFAR-100 (32x32 images), a small-scale stand-in for ImageNet, with milder augmentation: tiny networks under-fit.
_base_ = './pretrain.py'
input_size = 32
num_classes = 100
epochs = 20
warmup_epochs = 1
train_dataloader = dict(
    dataset=dict(
        data_root='data/cifar100',
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.RandomResizedCrop', size=None, scale=(0.4, 1.0)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    )
)
val_dataloader = dict(dataset=dict(data_root='data/cifar100'))
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(val_interval=2)
default_hooks = dict(logger=dict(interval=100))
