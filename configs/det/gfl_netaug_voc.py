# GFL's head on MobileNetV2 w0.35 pretrained with NetAug, on Pascal VOC, with an average of weights (EMA).
_base_ = './gfl_baseline_voc.py'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/netaug_mbv2/export.pth')))
