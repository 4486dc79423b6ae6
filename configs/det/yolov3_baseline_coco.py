# YOLOv3 on MobileNetV2 w0.35 with baseline pretraining, on COCO.
_base_ = ['../_base_/models/yolov3.py', '../_base_/datasets/coco_det.py', '../_base_/schedules/yolov3.py']
pretrained = 'baseline'
epochs = 280
steps = (220 / 280, 250 / 280)
train_dataloader = dict(batch_size=64)
