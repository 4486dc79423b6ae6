# YOLOv3 on MobileNetV2 w0.35 with baseline pretraining, on Pascal VOC or other data, with AdamW for short runs.
_base_ = [
    '../_base_/models/yolov3.py',
    '../_base_/datasets/voc0712.py',
    '../_base_/datasets/yolov3_pipelines.py',
    '../_base_/schedules/adamw_120e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/baseline_mbv2/export.pth')))
train_dataloader = dict(batch_size=16, dataset=dict(pipeline={{_base_.yolov3_train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.yolov3_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.yolov3_test_pipeline}}))
