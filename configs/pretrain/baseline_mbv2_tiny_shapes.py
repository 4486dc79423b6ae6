# MobileNetV2-Tiny on drawn shapes at 48 px.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv2_tiny', num_classes=20)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=8)
default_hooks = dict(logger=dict(interval=30))
