# MobileNetV2-Tiny that learns from a ResNet50.
_base_ = './baseline_mbv2_tiny.py'
distill = dict(checkpoint='work_dirs/baseline_resnet50/export.pth')
