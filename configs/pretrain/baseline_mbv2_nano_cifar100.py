# A MobileNetV2 of one block a stage, 34 thousand parameters, on CIFAR-100 at 32 px, until it has levelled off.
_base_ = '../_base_/pretrain_cifar100.py'
epochs = 40
model = dict(arch='mobilenetv2_nano')
