# YOLOv3 on MobileNetV2 w0.35 pretrained with NetAug, on COCO.
_base_ = './yolov3_baseline_coco.py'
pretrained = 'netaug'
