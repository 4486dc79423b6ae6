# MobileNetV2-Tiny with mixup.
_base_ = ['./baseline_mbv2_tiny.py', '../_base_/regularizers/mixup.py']
