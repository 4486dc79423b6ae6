# ResNet50 with one bottleneck a stage and half of its width, on a hundred classes of Tiny-ImageNet at 48 px: a teacher.
_base_ = './baseline_mbv2_tiny_tinyimagenet.py'
model = dict(arch='resnet14_w0.5')
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
train_cfg = dict(max_epochs=30)
