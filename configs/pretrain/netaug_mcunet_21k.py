# MCUNet with NetAug on ImageNet-21K-P (winter 2021): 20 epochs after warm-up.
_base_ = './netaug_mcunet.py'
num_classes = 10450
epochs = 25
train_dataloader = dict(dataset=dict(data_root='data/imagenet21k_p'))
val_dataloader = dict(dataset=dict(data_root='data/imagenet21k_p'))
