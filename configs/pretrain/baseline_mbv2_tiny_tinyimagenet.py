# MobileNetV2-Tiny on a hundred classes of Tiny-ImageNet at 48 px.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv2_tiny', num_classes=100)
train_cfg = dict(max_epochs=60, val_interval=5)
default_hooks = dict(logger=dict(interval=100))
