# ImageNet-1K at 176 px.
_base_ = './imagenet_160.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadRandomResizedCrop', size=176, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='mmnetaug.ColorJitter', brightness=32 / 255, saturation=0.5),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmnetaug.PackClassification'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmnetaug.LoadResizeCenterCrop', size=176),
            dict(type='mmnetaug.PackClassification'),
        ]
    )
)
test_dataloader = val_dataloader
