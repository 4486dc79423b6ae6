# YOLOv3 on one of our backbones. tools/train.py fills in what follows from arch, size and pretrained.
_base_ = './ssdlite.py'
size = 416
multi_scale = (0.77, 1.46)  # training sizes relative to size, in steps of 32: 320 to 608 for 416
model = dict(type='mmnetaug.YOLOv3')
