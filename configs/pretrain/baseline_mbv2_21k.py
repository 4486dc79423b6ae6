# MobileNetV2 w0.35 on ImageNet-21K-P (winter 2021): 20 epochs after warm-up.
_base_ = './baseline_mbv2.py'
num_classes = 10450
epochs = 25
train_dataloader = dict(dataset=dict(data_root='data/imagenet21k_p'))
val_dataloader = dict(dataset=dict(data_root='data/imagenet21k_p'))
