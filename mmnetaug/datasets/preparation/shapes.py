"""Procedural objects for data that needs no download: a class is a shape with a texture.

Neither alone is enough: the clutter has the same textures on other shapes, and the same shapes without a
texture. Proportions, orientation and fineness of the texture are random and say nothing. Colour is a hint, so that
minutes of training show something: each class has a hue, around which it varies about as far as the next ones are.
"""

import cv2
import numpy as np

TEXTURES = ('checked', 'dotted', 'marbled', 'striped')
HUE_SPREAD = 7  # degrees, standard deviation; classes are 18 apart
CLASSES = tuple(f'{t}_{s}' for t in TEXTURES for s in ('cross', 'disc', 'square', 'star', 'triangle'))

# outlines as the radii of vertices at equal angles; the cross as corners
_RADII = {'disc': (1,) * 36, 'square': (1,) * 4, 'star': (1, 0.42) * 5, 'triangle': (1,) * 3}
_CROSS = np.array([(1, 0.36), (0.36, 0.36), (0.36, 1), (-0.36, 1), (-0.36, 0.36), (-1, 0.36)])


def _outline(rng: np.random.Generator, shape: str) -> np.ndarray:
    """Vertices (n, 2) of a randomly rotated, stretched and sheared shape, of any size."""
    if shape == 'cross':
        points = np.concatenate([_CROSS, -_CROSS])
    elif shape == 'bar':
        points = np.array([(1, 0.12), (-1, 0.12), (-1, -0.12), (1, -0.12)])
    else:
        if shape == 'blob':
            angles = np.arange(40) * (2 * np.pi / 40)
            waves = (rng.uniform(0.3, 0.6) / k * np.cos(k * angles + rng.uniform(0, 6.28)) for k in (2, 3, 4, 5))
            radii = 1 + sum(waves)
        else:
            radii = np.array(_RADII[shape])
        angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
        points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    if len(points) < 20:
        points = points + rng.uniform(-0.06, 0.06, points.shape)
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    points = points @ np.array([[stretch, rng.uniform(-0.25, 0.25)], [0, 1 / stretch]])
    cos, sin = np.cos(turn := rng.uniform(-0.6, 0.6)), np.sin(turn)
    return points @ np.array([[cos, -sin], [sin, cos]])


def _texture(
    rng: np.random.Generator,
    kind: str,
    height: int,
    width: int,
    period: float,
    contrast: float = 1,
    hue: float | None = None,
) -> np.ndarray:
    """A (height, width, 3) uint8 area of texture ``kind`` (or 'plain') in two colours, of ``hue`` if given."""
    if hue is None:
        dark = rng.uniform(0, 130, 3).astype(np.float32)
        light = dark + rng.uniform(50, 125, 3).astype(np.float32)
    else:
        hues = rng.normal(hue, HUE_SPREAD, 2) % 360
        hsv = np.array([[[hues[0], rng.uniform(0.4, 1), 0.4], [hues[1], rng.uniform(0.4, 1), 0.9]]], np.float32)
        dark, light = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0]
    first, second = (dark, light) if rng.random() < 0.5 else (light, dark)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    angle, phase = rng.uniform(0, np.pi, 2).astype(np.float32)
    cos, sin = np.array([np.cos(angle), np.sin(angle)]) * np.float32(2 * np.pi / period)
    u, v = x * cos + y * sin + phase, y * cos - x * sin + phase
    if kind == 'striped':
        wave = np.sin(u)
    elif kind == 'checked':
        wave = 2 * np.sin(u) * np.sin(v)
    elif kind == 'dotted':
        wave = np.cos(u) + np.cos(v) - 0.7
    elif kind == 'marbled':
        cells = [int(2 * n / period) + 3 for n in (height, width)]
        wave = cv2.resize(rng.standard_normal(cells, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    else:
        wave = x / width - 0.5 + 0 * y
    mix = np.clip(wave * (0.3 if kind == 'plain' else 2.5) + 0.5, 0, 1) * np.float32(contrast)
    shade = 1 + rng.uniform(-0.3, 0.3) * (x / width - 0.5) + rng.uniform(-0.3, 0.3) * (y / height - 0.5)
    return cv2.merge([np.clip((a + (b - a) * mix) * shade, 0, 255).astype(np.uint8) for a, b in zip(first, second)])


class ShapeSource:
    """Drawn objects, clutter and backgrounds: a source for :func:`mmnetaug.datasets.preparation.scenes.compose`."""

    classes = CLASSES

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        period = max(4, max(height, width) * rng.uniform(0.05, 0.6))
        return _texture(rng, rng.choice([*TEXTURES, 'plain']), height, width, period, rng.uniform(0.1, 0.4))

    def sprite(self, rng: np.random.Generator, label: int | None, side: float) -> tuple:
        hue = None
        if label is not None:
            kind, shape = CLASSES[label].split('_')
            hue = 360 * label / len(CLASSES)
        elif rng.random() < 0.2:
            kind, shape = 'plain', rng.choice([*_RADII, 'cross'])
        else:
            kind, shape = rng.choice([*TEXTURES, 'plain']), rng.choice(['bar', 'blob'])
        points = _outline(rng, shape)
        points -= points.min(axis=0)
        points *= side / points.max()
        width, height = np.ceil(points.max(axis=0)).astype(int) + 3
        alpha = np.zeros((height, width), np.uint8)
        fixed_point = np.round((points + 1) * 16).astype(np.int32)
        cv2.fillPoly(alpha, [fixed_point], 255, lineType=cv2.LINE_AA, shift=4)
        period = max(3.0, side * rng.uniform(0.12, 0.3))
        return _texture(rng, kind, height, width, period, hue=hue), alpha
