# MobileNetV2-Tiny with dropout before the classifier.
_base_ = ['./baseline_mbv2_tiny.py', '../_base_/regularizers/dropout.py']
