# ResNet50 with DropBlock.
_base_ = ['./baseline_resnet50.py', '../_base_/regularizers/dropblock.py']
