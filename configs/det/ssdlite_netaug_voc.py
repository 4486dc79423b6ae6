# SSDLite on MobileNetV2 w0.35 pretrained with NetAug, on Pascal VOC.
_base_ = ['../_base_/models/ssdlite.py', '../_base_/datasets/voc_det.py', '../_base_/schedules/det.py']
pretrained = 'netaug'
