# ResNet50 with DropBlock.
_base_ = './baseline_resnet50.py'
dropblock = 0.1
