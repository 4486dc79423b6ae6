# ResNet50 with NetAug at 224 px. In the NetAug paper (figures 1 and 4) it hurts.
_base_ = './baseline_resnet50.py'
model = dict(netaug=dict(width_mults=(1.0, 1.8, 2.6), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
custom_hooks = [dict(type='mmnetaug.NetAugHook')]
