# ResNet50 at 224 px with NetAug on the widths of its bottlenecks: augmented passes of 10.8 G MACs on average, a
# supernet of 120 M parameters. In the NetAug paper (figures 1 and 4) it hurts.
_base_ = './baseline_resnet50.py'
model = dict(netaug=dict(width_mults=(1.0,), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
