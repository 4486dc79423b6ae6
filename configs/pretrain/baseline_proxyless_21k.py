# ProxylessNAS-Mobile w0.35 on ImageNet-21K-P (winter 2021): 20 epochs after warm-up.
_base_ = ['./baseline_proxyless.py', '../_base_/datasets/imagenet21k_p.py']
model = {{_base_.imagenet21k_p.model}}
train_dataloader = {{_base_.imagenet21k_p.train_dataloader}}
val_dataloader = {{_base_.imagenet21k_p.val_dataloader}}
test_dataloader = {{_base_.imagenet21k_p.val_dataloader}}
train_cfg = {{_base_.imagenet21k_p.train_cfg}}
