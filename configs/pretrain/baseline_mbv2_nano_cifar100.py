# A MobileNetV2 of two blocks, 13 thousand parameters, on CIFAR-100 at 16 px: it under-fits.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/cifar100_16px.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv2_nano', num_classes=100)
optim_wrapper = dict(optimizer=dict(lr=0.2))
train_cfg = dict(max_epochs=80, val_interval=5)
default_hooks = dict(logger=dict(interval=100))
