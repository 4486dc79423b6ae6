# MobileNetV2-Tiny with AutoAugment's ImageNet policy.
_base_ = ['./baseline_mbv2_tiny.py', '../_base_/regularizers/autoaugment.py']
