# MobileNetV3 w0.35 with NetAug on ImageNet-21K-P (winter 2021): 20 epochs after warm-up.
_base_ = './baseline_mbv3_21k.py'
model = dict(netaug=dict(width_mults=(1.0, 2.0, 3.0), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
