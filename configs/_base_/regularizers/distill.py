# distil from the network in VALUE, the export.pth of another run
custom_hooks = [
    dict(
        type='mmnetaug.DistillationHook',
        checkpoint='work_dirs/baseline_resnet50/export.pth',
        temperature=4.0,
        weight=0.5,
    )
]
