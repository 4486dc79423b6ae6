# COCO: train2017 to train on, val2017 to test on.
_base_ = './detection.py'
data_root = 'data/coco'
