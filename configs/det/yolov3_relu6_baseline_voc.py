# YOLOv3 with ReLU6 in neck and head, which int8 keeps in int8 (TFLite leaves LeakyReLU in float), with AdamW.
_base_ = './yolov3_baseline_adamw_voc.py'
model = dict(neck=dict(act_cfg=dict(type='ReLU6')), bbox_head=dict(act_cfg=dict(type='ReLU6')))
