# MobileNetV2 w0.35 at 160 px. Paper: 56.3% ImageNet top-1.
_base_ = '../_base_/pretrain.py'
