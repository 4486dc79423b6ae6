# RTMDet on MobileNetV2 w0.35 with baseline pretraining, on COCO, with an average of weights (EMA).
_base_ = [
    '../_base_/models/rtmdet.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_120e.py',
    '../_base_/default_runtime.py',
    '../_base_/ema.py',
]
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/baseline_mbv2/export.pth')),
    bbox_head=dict(num_classes=80),
)
