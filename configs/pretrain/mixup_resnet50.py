# ResNet50 with mixup.
_base_ = './baseline_resnet50.py'
mixup = 0.2
