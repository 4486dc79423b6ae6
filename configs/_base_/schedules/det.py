# Warm-up and cosine; tools/train.py fills in the lengths, in epochs.
epochs = 120
warmup_epochs = 3

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmnetaug.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=None, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=None, end=None, T_max=None, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=None, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

default_scope = 'mmdet'
custom_imports = dict(imports=['mmnetaug'])
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=1),
)
custom_hooks = [dict(type='CheckInvalidLossHook', interval=50, priority='VERY_LOW')]
log_processor = dict(window_size=20)
visualizer = dict(
    type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
)
randomness = dict(seed=0)
