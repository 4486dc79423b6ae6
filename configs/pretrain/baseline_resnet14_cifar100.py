# ResNet50 with one bottleneck a stage and a quarter of its width, on CIFAR-100 at 16 px: it over-fits.
_base_ = '../_base_/pretrain_cifar100_16px.py'
epochs = 30
model = dict(arch='resnet14_w0.25')
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
