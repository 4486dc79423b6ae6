# YOLOv3 on MobileNetV2 w0.35 pretrained with NetAug, with detection mixup, on COCO.
_base_ = ['./yolov3_netaug_coco.py', '../_base_/detection_mixup.py']
