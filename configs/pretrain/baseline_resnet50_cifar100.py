# ResNet50 of a quarter of its width on CIFAR-100 at 32 px: the large network beside a tiny one.
_base_ = '../_base_/pretrain_cifar100.py'
model = dict(arch='resnet50_w0.25')
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
