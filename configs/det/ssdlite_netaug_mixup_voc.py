# SSDLite on MobileNetV2 w0.35 pretrained with NetAug, with detection mixup, on Pascal VOC.
_base_ = ['./ssdlite_netaug_voc.py', '../_base_/detection_mixup.py']
