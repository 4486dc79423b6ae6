# MobileNetV3-Large w0.35 at 160 px. Paper: 58.1% ImageNet top-1.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_160.py',
    '../_base_/schedules/sgd_155e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='mobilenetv3_w0.35')
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=3e-5))
