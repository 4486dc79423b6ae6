# MobileNetV2-Tiny on CIFAR-100 at 32 px.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv2_tiny', num_classes=100)
default_hooks = dict(logger=dict(interval=100))
