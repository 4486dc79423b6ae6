"""How pixels from 0 to 255 are normalised, as a ``data_preprocessor`` says it."""

import math
from collections.abc import Mapping
from typing import Any

IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': True}
# The brightness (ITU-R BT.601) of ImageNet's mean colour, and the deviation of its channels, which are much alike.
GRAY = {'mean': [117.04], 'std': [57.67], 'bgr_to_rgb': False}
UNIT_RANGE = {'mean': [127.5] * 3, 'std': [127.5] * 3, 'bgr_to_rgb': True}  # from -1 to 1


def normalisation(preprocessor: Any, channels: int) -> dict[str, Any]:
    """``mean``, ``std`` (a number a channel) and ``bgr_to_rgb`` for images of so many channels, by what a
    ``data_preprocessor`` of a config says; empty where it says nothing, or no such values, or one
    for each of other channels.
    """
    if not isinstance(preprocessor, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, neutral in (('mean', 0.0), ('std', 1.0)):
        values = preprocessor.get(name)
        values = [neutral] if values is None else values
        if not isinstance(values, (list, tuple)) or not all(type(value) in (int, float) for value in values):
            return {}
        if not values or not all(map(math.isfinite, values)) or (name == 'std' and min(values) <= 0):
            return {}
        if len(values) != channels and len(set(values)) > 1:
            return {}
        found[name] = [*values] if len(values) == channels else [values[0]] * channels
    turned = any(preprocessor.get(name) is True for name in ('bgr_to_rgb', 'rgb_to_bgr'))
    return {**found, 'bgr_to_rgb': turned and channels == 3}
