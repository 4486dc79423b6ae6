# SSDLite as in ssdlite_baseline_voc.py, with flips and colour alone, for a training of few epochs.
_base_ = './ssdlite_baseline_voc.py'
train_dataloader = dict(dataset=dict(pipeline={{_base_.light_train_pipeline}}))
