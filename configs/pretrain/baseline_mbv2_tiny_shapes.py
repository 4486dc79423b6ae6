# MobileNetV2-Tiny on drawn shapes at 48 px.
_base_ = '../_base_/pretrain_shapes.py'
model = dict(arch='mobilenetv2_tiny')
