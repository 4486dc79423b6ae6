# MobileNetV2-Tiny with NetAug that learns from a ResNet50. In the NetAug paper the two add up.
_base_ = ['./netaug_mbv2_tiny.py', '../_base_/regularizers/distill.py']
