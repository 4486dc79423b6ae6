# MobileNetV2-Tiny with mixup.
_base_ = './baseline_mbv2_tiny.py'
mixup = 0.2
