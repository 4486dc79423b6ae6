# MobileNetV2 w0.35 at 160 px. Paper: 56.3% ImageNet top-1.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_160.py',
    '../_base_/schedules/sgd_155e.py',
    '../_base_/pretrain_runtime.py',
]
