# mix images and labels, with lambda of Beta(VALUE, VALUE)
custom_hooks = [dict(type='mmnetaug.MixupHook', alpha=0.2)]
