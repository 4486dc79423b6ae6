# What all detectors run with.
default_scope = 'mmdet'
custom_imports = dict(imports=['mmnetaug'])

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=1),
    invalid_loss=dict(type='CheckInvalidLossHook', interval=50, priority='VERY_LOW'),
    epoch_seed=dict(type='mmnetaug.EpochSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    memory=dict(type='mmnetaug.KeepFreedMemoryHook'),
    export=dict(type='mmnetaug.ExportHook'),
)
log_processor = dict(window_size=20)
visualizer = dict(
    type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
)
randomness = dict(seed=0)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
