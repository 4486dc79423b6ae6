# MobileNetV2-Tiny on CIFAR-100 at 32 px.
_base_ = '../_base_/pretrain_cifar100.py'
model = dict(arch='mobilenetv2_tiny')
