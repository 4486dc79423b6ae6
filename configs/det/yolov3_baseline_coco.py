# YOLOv3 on MobileNetV2 w0.35 with baseline pretraining, on COCO.
_base_ = [
    '../_base_/models/yolov3.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/datasets/yolov3_pipelines.py',
    '../_base_/schedules/sgd_200e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/baseline_mbv2/export.pth')),
    bbox_head=dict(num_classes=80),
)
train_dataloader = dict(batch_size=64, dataset=dict(pipeline={{_base_.yolov3_train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.yolov3_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.yolov3_test_pipeline}}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='MultiStepLR', by_epoch=True, milestones=[220, 250], gamma=0.1),
]
train_cfg = dict(max_epochs=280)
