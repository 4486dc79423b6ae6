# drop blocks of feature maps in the last two stages, at the rate VALUE at the end of training
custom_hooks = [dict(type='mmnetaug.DropBlockHook', rate=0.1)]
