# MCUNet with NetAug at 176 px. Paper: 62.7% ImageNet top-1.
_base_ = './baseline_mcunet.py'
model = dict(netaug=dict(width_mults=(1.0, 1.6, 2.2), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
