# What all detectors run with.
default_scope = 'mmdet'
custom_imports = dict(imports=['mmnetaug'])

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='mmnetaug.CheckpointHook', interval=1, iterations=0, keep_best=True, max_keep_ckpts=1),
    finite_loss=dict(type='mmnetaug.FiniteLossHook'),
    iteration_seed=dict(type='mmnetaug.IterationSeedHook'),
    pictures=dict(type='mmnetaug.PicturesHook'),
    results=dict(type='mmnetaug.ResultsHook'),
    nothing_learnt=dict(type='mmnetaug.NothingLearntHook'),
    console=dict(type='mmnetaug.ConsoleHook'),
    stop=dict(type='mmnetaug.StopHook'),
    sync_buffers=dict(type='mmnetaug.SyncBuffersHook'),
    memory=dict(type='mmnetaug.KeepFreedMemoryHook'),
    export=dict(type='mmnetaug.ExportHook'),
    visualization=dict(type='DetVisualizationHook'),  # draws where MMDetection's test.py has --show or --show-dir
)
log_processor = dict(window_size=20)
visualizer = dict(
    type='DetLocalVisualizer',
    name='visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
randomness = dict(seed=0)
export_safetensors = False
allow_overlap = False  # refuse to test on images that are trained on
val_cfg = dict(type='mmnetaug.FusedValLoop')
test_cfg = dict(type='TestLoop')
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
