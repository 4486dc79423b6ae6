# An average of weights over training (EMA), which is validated and exported. Young averages are renewed faster.
custom_hooks = [
    dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=0.0005, update_buffers=True, priority=49),
]
