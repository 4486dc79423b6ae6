# MobileNetV2-Tiny that learns from a ResNet50.
_base_ = ['./baseline_mbv2_tiny.py', '../_base_/regularizers/distill.py']
