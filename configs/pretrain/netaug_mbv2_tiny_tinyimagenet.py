# MobileNetV2-Tiny with NetAug on a hundred classes of Tiny-ImageNet at 48 px.
_base_ = './baseline_mbv2_tiny_tinyimagenet.py'
model = dict(netaug=dict(width_mults=(1.0, 1.8, 2.6), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
