# YOLOv3 on MobileNetV2 w0.35 pretrained with NetAug, on Pascal VOC or other data, with AdamW for short runs.
_base_ = './yolov3_baseline_adamw_voc.py'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/netaug_mbv2/export.pth')))
