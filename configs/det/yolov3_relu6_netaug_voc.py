# The same on MobileNetV2 w0.35 pretrained with NetAug.
_base_ = './yolov3_relu6_baseline_voc.py'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/netaug_mbv2/export.pth')))
