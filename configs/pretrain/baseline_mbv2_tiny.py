# MobileNetV2-Tiny at 144 px. Paper: 51.7% ImageNet top-1.
_base_ = '../_base_/pretrain.py'
input_size = 144
model = dict(arch='mobilenetv2_tiny')
