# Drawn shapes (tools/make_data.py shapes): minutes of training that show the pipeline.
_base_ = './pretrain_cifar100.py'
input_size = 48
num_classes = None
epochs = 8
train_dataloader = dict(batch_size=32, dataset=dict(data_root='data/shapes/cls'))
val_dataloader = dict(dataset=dict(data_root='data/shapes/cls'))
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(logger=dict(interval=30))
