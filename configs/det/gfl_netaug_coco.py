# GFL's head on MobileNetV2 w0.35 pretrained with NetAug, on COCO, with an average of weights (EMA).
_base_ = './gfl_baseline_coco.py'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/netaug_mbv2/export.pth')))
