# What ImageNet-21K-P (winter 2021) changes: 10,450 classes, and 20 epochs after warm-up. A config takes these entries
# over as they are, since MMEngine lets no two base files change the same one.
imagenet21k_p = dict(
    model=dict(num_classes=10450),
    train_dataloader=dict(dataset=dict(data_root='data/imagenet21k_p', num_classes=10450)),
    val_dataloader=dict(dataset=dict(data_root='data/imagenet21k_p', num_classes=10450)),
    train_cfg=dict(max_epochs=25),
)
