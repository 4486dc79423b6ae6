# AdamW, three epochs of warm-up and cosine to 0. The learning rate is that of 16 images and grows with the total batch.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmnetaug.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=3, convert_to_iter_based=True),
]
train_cfg = dict(type='mmnetaug.ResumableTrainLoop', max_epochs=120, val_interval=10)
