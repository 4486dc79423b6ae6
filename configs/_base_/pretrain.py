# ImageNet pretraining as in the NetAug paper, section 4.1. tools/pretrain_cls.py fills in what follows from the
# values below: transform sizes, number of classes, lengths of the schedule, regularisers.
input_size = 160
num_classes = 1000  # None: as many as there are class folders
epochs = 155  # of which warm-up:
warmup_epochs = 5
train_eval_images = 10000  # on which training accuracy is measured at each validation; 0: not at all

# Regularisers; each goes with every other one and with NetAug.
mixup = 0.0  # alpha of Beta(alpha, alpha)
autoaugment = False  # instead of colour jitter
dropblock = 0.0  # rate at the end of training
dropout = 0.0  # before the classifier
distill = dict(checkpoint=None, arch=None, temperature=4.0, weight=0.5)  # the checkpoint of a teacher

default_scope = 'mmengine'
custom_imports = dict(imports=['mmnetaug'])

model = dict(
    type='mmnetaug.Classifier',
    arch='mobilenetv2_w0.35',
    label_smoothing=0.1,
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
)

train_dataloader = dict(
    batch_size=128,
    num_workers=None,  # as many as there are cores, at most 8
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmnetaug.ImageFolder',
        data_root='data/imagenet',
        split='train',
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.RandomResizedCrop', size=None),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=None,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmnetaug.ImageFolder',
        data_root='data/imagenet',
        split='val',
        pipeline=[
            dict(type='mmnetaug.LoadImageOrSkip'),
            dict(type='mmnetaug.ResizeCenterCrop', size=None),
            dict(type='mmnetaug.PackClassification'),
        ],
    ),
)
val_evaluator = dict(type='mmnetaug.TopK', topk=(1, 5))

# The learning rate is that of one device with base_batch_size images; it grows with the total batch.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmnetaug.GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, nesterov=True, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=None, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=None, end=None, T_max=None, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=None, val_interval=1)
val_cfg = dict(type='ValLoop')

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
)
log_processor = dict(window_size=50)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
randomness = dict(seed=0)
