# YOLOv3 on MobileNetV2 w0.35 with baseline pretraining, on Pascal VOC.
_base_ = ['../_base_/models/yolov3.py', '../_base_/datasets/voc_det.py', '../_base_/schedules/yolov3.py']
pretrained = 'baseline'
train_dataloader = dict(batch_size=64)
