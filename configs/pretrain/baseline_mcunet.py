# MCUNet at 176 px. Paper: 61.5% ImageNet top-1.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_176.py',
    '../_base_/schedules/sgd_155e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mcunet')
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=0.0125))
auto_scale_lr = dict(base_batch_size=64)
