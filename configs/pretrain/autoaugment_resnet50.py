# ResNet50 with AutoAugment's ImageNet policy.
_base_ = ['./baseline_resnet50.py', '../_base_/regularizers/autoaugment.py']
