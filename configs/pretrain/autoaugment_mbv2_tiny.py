# MobileNetV2-Tiny with AutoAugment's ImageNet policy.
_base_ = './baseline_mbv2_tiny.py'
autoaugment = True
