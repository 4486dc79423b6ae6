# MobileNetV2-Tiny with DropBlock.
_base_ = ['./baseline_mbv2_tiny.py', '../_base_/regularizers/dropblock.py']
