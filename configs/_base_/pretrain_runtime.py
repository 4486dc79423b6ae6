# What all pretraining runs with.
default_scope = 'mmengine'
custom_imports = dict(imports=['mmnetaug'])

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='mmnetaug.CheckpointHook', interval=1, iterations=0, keep_best=True, max_keep_ckpts=1),
    export=dict(type='mmnetaug.ExportHook'),
    finite_loss=dict(type='mmnetaug.FiniteLossHook'),
    iteration_seed=dict(type='mmnetaug.IterationSeedHook'),
    results=dict(type='mmnetaug.ResultsHook'),
    nothing_learnt=dict(type='mmnetaug.NothingLearntHook'),
    console=dict(type='mmnetaug.ConsoleHook'),
    stop=dict(type='mmnetaug.StopHook'),
    sync_buffers=dict(type='mmnetaug.SyncBuffersHook'),
    memory=dict(type='mmnetaug.KeepFreedMemoryHook'),
    # training accuracy, measured at each validation as validation accuracy is
    train_accuracy=dict(type='mmnetaug.TrainAccuracyHook', images=10000),
)
log_processor = dict(window_size=50)
visualizer = dict(
    type='Visualizer',
    name='visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
randomness = dict(seed=0)
export_safetensors = False
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
