# SSDLite on MobileNetV2 w0.35 pretrained with NetAug, with detection mixup, on COCO.
_base_ = ['./ssdlite_netaug_coco.py', '../_base_/detection_mixup.py']
