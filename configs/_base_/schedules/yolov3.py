# The detection runs of the NetAug paper, on Pascal VOC: GluonCV's YOLOv3 defaults for optimizer, schedule and sizes.
# Not theirs: warm-up of two epochs, mmdet's clipping of gradients, and the augmentation of our SSDLite.
_base_ = './det.py'
epochs = 200
warmup_epochs = 2
steps = (0.8, 0.9)  # shares of all epochs after which the learning rate falls to a tenth

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(_delete_=True),  # weight decay on all
    clip_grad=dict(max_norm=35.0),
)
auto_scale_lr = dict(base_batch_size=64)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=None, convert_to_iter_based=True),
    dict(type='MultiStepLR', by_epoch=True, milestones=None, gamma=0.1),
]
