# ResNet50 with one bottleneck a stage and a quarter of its width, on CIFAR-100 at 16 px: it over-fits.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/cifar100_16px.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='resnet14_w0.25', num_classes=100)
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
train_cfg = dict(max_epochs=30, val_interval=5)
default_hooks = dict(logger=dict(interval=100))
