# Detection mixup (arXiv 1902.04103) until the last tenth of training.
custom_hooks = [dict(type='mmnetaug.DetectionMixupHook', alpha=1.5, unmixed=0.1)]
