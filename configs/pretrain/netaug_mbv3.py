# MobileNetV3-Large w0.35 with NetAug at 160 px. Paper: 60.3% ImageNet top-1.
_base_ = './baseline_mbv3.py'
model = dict(netaug=dict(width_mults=(1.0, 2.0, 3.0), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
