# MobileNetV2-Tiny with DropBlock.
_base_ = './baseline_mbv2_tiny.py'
dropblock = 0.1
