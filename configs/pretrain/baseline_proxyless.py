# ProxylessNAS-Mobile w0.35 at 160 px. Paper: 59.1% ImageNet top-1.
_base_ = '../_base_/pretrain.py'
model = dict(arch='proxylessnas_w0.35')
