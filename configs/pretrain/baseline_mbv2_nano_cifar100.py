# A MobileNetV2 of two blocks, 13 thousand parameters, on CIFAR-100 at 16 px: it under-fits.
_base_ = '../_base_/pretrain_cifar100_16px.py'
epochs = 80
model = dict(arch='mobilenetv2_nano')
optim_wrapper = dict(optimizer=dict(lr=0.2))
