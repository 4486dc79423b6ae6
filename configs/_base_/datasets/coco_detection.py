# COCO: train2017 to train on, val2017 to test on. The pipelines are those of Pascal VOC.
_base_ = './voc0712.py'
dataset_type = 'mmnetaug.COCODetection'
data_root = 'data/coco/'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
    )
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='mmnetaug.COCOAveragePrecision', ann_file=data_root + 'annotations/instances_val2017.json')]
test_evaluator = val_evaluator
