"""AutoAugment's policy for ImageNet, of mmdet's transforms."""

import math
from typing import Any

# (operation, probability, strength 0 to 9) pairs of AutoAugment (arXiv 1805.09501), table 9: one pair of the 25 is
# drawn for an image.
IMAGENET_POLICY = (
    (('Posterize', 0.4, 8), ('Rotate', 0.6, 9)),
    (('Solarize', 0.6, 5), ('AutoContrast', 0.6, 5)),
    (('Equalize', 0.8, 8), ('Equalize', 0.6, 3)),
    (('Posterize', 0.6, 7), ('Posterize', 0.6, 6)),
    (('Equalize', 0.4, 7), ('Solarize', 0.2, 4)),
    (('Equalize', 0.4, 4), ('Rotate', 0.8, 8)),
    (('Solarize', 0.6, 3), ('Equalize', 0.6, 7)),
    (('Posterize', 0.8, 5), ('Equalize', 1.0, 2)),
    (('Rotate', 0.2, 3), ('Solarize', 0.6, 8)),
    (('Equalize', 0.6, 8), ('Posterize', 0.4, 6)),
    (('Rotate', 0.8, 8), ('Color', 0.4, 0)),
    (('Rotate', 0.4, 9), ('Equalize', 0.6, 2)),
    (('Equalize', 0.0, 7), ('Equalize', 0.8, 8)),
    (('Invert', 0.6, 4), ('Equalize', 1.0, 8)),
    (('Color', 0.6, 4), ('Contrast', 1.0, 8)),
    (('Rotate', 0.8, 8), ('Color', 1.0, 2)),
    (('Color', 0.8, 8), ('Solarize', 0.8, 7)),
    (('Sharpness', 0.4, 7), ('Invert', 0.6, 8)),
    (('ShearX', 0.6, 5), ('Equalize', 1.0, 9)),
    (('Color', 0.4, 0), ('Equalize', 0.6, 3)),
    (('Equalize', 0.4, 7), ('Solarize', 0.2, 4)),
    (('Solarize', 0.6, 5), ('AutoContrast', 0.6, 5)),
    (('Invert', 0.6, 4), ('Equalize', 1.0, 8)),
    (('Color', 0.6, 4), ('Contrast', 1.0, 8)),
    (('Equalize', 0.8, 8), ('Equalize', 0.6, 3)),
)
# Operation -> its magnitude at strength 0 and at strength 9 (arXiv 1805.09501, table 6): degrees, slope, threshold
# (what is brighter is inverted), bits that are kept, factor. The other operations have none.
MAGNITUDES = {
    'Rotate': (0.0, 30.0),
    'ShearX': (0.0, 0.3),
    'Solarize': (256.0, 0.0),
    'Posterize': (8.0, 4.0),
    'Color': (0.1, 1.9),
    'Contrast': (0.1, 1.9),
    'Sharpness': (0.1, 1.9),
}


def autoaugment() -> dict[str, Any]:
    """The policy as a transform for a pipeline of uint8 images, any size to the same size."""
    return {
        'type': 'mmdet.AutoAugment',
        'policies': [[_operation(*operation) for operation in pair] for pair in IMAGENET_POLICY],
    }


def _operation(name: str, probability: float, strength: int) -> dict[str, Any]:
    operation = {'type': f'mmdet.{name}', 'prob': probability}
    if name in MAGNITUDES:
        weakest, strongest = MAGNITUDES[name]
        magnitude = weakest + strength / 9 * (strongest - weakest)
        if name == 'ShearX':  # which mmdet takes in degrees
            magnitude = math.degrees(math.atan(magnitude))
        if name == 'Posterize':  # which mmdet would round up
            magnitude = float(round(magnitude))
        # mmdet interpolates over levels 0 to 10, and only upwards: it gets both ends the same.
        operation.update(level=0, min_mag=magnitude, max_mag=magnitude)
    return operation
