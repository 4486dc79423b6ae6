# AutoAugment's ImageNet policy, for colour jitter
custom_hooks = [dict(type='mmnetaug.AutoAugmentHook')]
