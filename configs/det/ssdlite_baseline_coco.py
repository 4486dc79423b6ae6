# SSDLite on MobileNetV2 w0.35 with baseline pretraining, on COCO.
_base_ = ['../_base_/models/ssdlite.py', '../_base_/datasets/coco_det.py', '../_base_/schedules/det.py']
pretrained = 'baseline'
