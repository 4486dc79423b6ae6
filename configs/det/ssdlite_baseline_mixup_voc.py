# SSDLite on MobileNetV2 w0.35 with baseline pretraining, with detection mixup, on Pascal VOC.
_base_ = ['./ssdlite_baseline_voc.py', '../_base_/detection_mixup.py']
