# drop inputs of the classifier, at the rate VALUE
custom_hooks = [dict(type='mmnetaug.DropoutHook', rate=0.2)]
