# SSDLite on MobileNetV2 w0.35 pretrained with NetAug, on COCO.
_base_ = './ssdlite_baseline_coco.py'
pretrained = 'netaug'
