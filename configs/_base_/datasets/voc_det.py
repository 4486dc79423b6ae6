# Pascal VOC: 07+12 trainval to train on, 07 test to test on.
_base_ = './detection.py'
data_root = 'data/VOCdevkit'
