# ResNet50 at 224 px, for comparison: it over-fits where tiny networks under-fit. Its standard recipe (learning rate 0.1
# for 256 images, weight decay 1e-4, 90 epochs), with cosine for steps. NetAug paper: 76.8% ImageNet top-1.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/sgd_155e.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(arch='resnet50')
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.0125, weight_decay=1e-4))
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(max_epochs=90)
