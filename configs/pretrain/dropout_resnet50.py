# ResNet50 with dropout before the classifier.
_base_ = ['./baseline_resnet50.py', '../_base_/regularizers/dropout.py']
