# ResNet14 of a quarter of its width on CIFAR-100 at 16 px, with NetAug on the widths of its bottlenecks.
_base_ = './baseline_resnet14_cifar100.py'
model = dict(netaug=dict(width_mults=(1.0,), expand_ratios=(1.0, 1.6, 2.2, 2.8)))
default_hooks = dict(netaug=dict(type='mmnetaug.NetAugHook', statistics_images=16000))
