# The detection runs of the NetAug paper, on Pascal VOC: GluonCV's YOLOv3 defaults for optimizer and schedule. Not
# theirs: warm-up of two epochs and mmdet's clipping of gradients. The learning rate is that of 64 images.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmnetaug.GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=35.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=64)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='MultiStepLR', by_epoch=True, milestones=[160, 180], gamma=0.1),
]
train_cfg = dict(type='mmnetaug.ResumableTrainLoop', max_epochs=200, val_interval=10)
