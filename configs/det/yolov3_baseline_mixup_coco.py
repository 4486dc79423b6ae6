# YOLOv3 on MobileNetV2 w0.35 with baseline pretraining, with detection mixup, on COCO.
_base_ = ['./yolov3_baseline_coco.py', '../_base_/detection_mixup.py']
