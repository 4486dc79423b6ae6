# SSDLite on MobileNetV2 w0.35 pretrained with NetAug, on Pascal VOC.
_base_ = './ssdlite_baseline_voc.py'
pretrained = 'netaug'
