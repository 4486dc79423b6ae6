# ResNet50 with mixup.
_base_ = ['./baseline_resnet50.py', '../_base_/regularizers/mixup.py']
