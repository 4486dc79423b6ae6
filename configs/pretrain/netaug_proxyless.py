# ProxylessNAS-Mobile w0.35 with NetAug at 160 px. Paper: 60.8% ImageNet top-1.
_base_ = './baseline_proxyless.py'
model = dict(netaug=dict(width_mults=(1.0, 1.8, 2.6), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
