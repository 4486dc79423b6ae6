# ImageNet pretraining as in the NetAug paper, section 4.1: five epochs of warm-up, 150 of cosine to 0. The learning
# rate is that of one device with base_batch_size images and grows with the total batch.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmnetaug.GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, nesterov=True, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(type='mmnetaug.ResumableTrainLoop', max_epochs=155, val_interval=1)
