# MobileNetV2-Tiny at 144 px. Paper: 51.7% ImageNet top-1.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_144.py',
    '../_base_/schedules/sgd_155e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv2_tiny')
