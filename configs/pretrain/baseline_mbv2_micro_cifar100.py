# A MobileNetV2 of 60 thousand parameters on CIFAR-100 at 32 px.
_base_ = '../_base_/pretrain_cifar100.py'
model = dict(arch='mobilenetv2_micro')
