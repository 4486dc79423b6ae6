"""Sheets of images with boxes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib import font_manager
from mmdet.visualization import get_palette
from PIL import Image, ImageDraw, ImageFont

from mmnetaug.records import save_image

CELL = 400  # pixels of the longer side of an image in a sheet
GAP = 6


class BoxPainter:
    """Draws boxes with the names of their classes, in lines and letters that go with the size of the image.

    By Pillow: MMDetection's ``DetLocalVisualizer``, whose pictures these resemble, draws by matplotlib, which takes
    seconds and gigabytes for a photograph of a phone.

    Args:
        names: of the classes, see :func:`~mmnetaug.visualization.fonts.drawable_names`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.font = font_manager.findfont(font_manager.FontProperties(family=['sans-serif']))
        self.colors = get_palette('coco' if len(names) <= 80 else 'random', len(names))  # 'coco' has no more

    def __call__(
        self, picture: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None
    ) -> np.ndarray:
        """An image (height, width, 3), uint8 BGR, with (n, 4) boxes in its pixels, the most likely on top."""
        if not len(boxes):
            return picture
        image = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
        longer = max(image.size)
        line, font = max(2, round(longer / 250)), ImageFont.truetype(self.font, max(11, round(longer / 40)))
        draw = ImageDraw.Draw(image)
        for place in reversed(range(len(boxes))):
            color = tuple(self.colors[labels[place]])
            x1, y1, x2, y2 = (round(float(side)) for side in boxes[place])
            draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=color, width=line)
            text = self.names[labels[place]] + ('' if scores is None else f': {100 * scores[place]:.0f}')
            left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
            x = max(0, min(x1, image.width - right))
            y = y1 - bottom if y1 >= bottom else max(0, y1)  # above the box, or in it where it begins at the border
            draw.rectangle((x + left, y + top - 1, x + right, y + bottom), fill=color)
            dark = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] < 128
            draw.text((x, y), text, fill='white' if dark else 'black', font=font)
        return np.asarray(image)[..., ::-1]


def in_cell(picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image (height, width, 3), uint8 BGR, and (n, 4) boxes in its pixels, both scaled to ``CELL``."""
    scale = CELL / max(picture.shape[:2])
    size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    scaled = np.asarray(boxes, np.float32).reshape(-1, 4) * np.float32(scale)
    return picture, np.clip(scaled, 0, np.array([size[0] - 1, size[1] - 1] * 2, np.float32))


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one size side by side."""
    return np.hstack([left, np.full((len(left), GAP, 3), 255, np.uint8), right])


def write_sheet(pictures: Sequence[np.ndarray], columns: int, path: str | Path, title: str) -> None:
    """Write pictures (height, width, 3), uint8 BGR, as one, row by row, below a title in ASCII."""
    width, height = max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures)
    columns, bar = min(columns, len(pictures)), 36
    rows = -(-len(pictures) // columns)
    sheet = np.full((bar + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, np.uint8)
    size = min(0.6, 0.6 * (sheet.shape[1] - 2 * GAP) / cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)[0][0])
    cv2.putText(sheet, title, (GAP, 24), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    for number, picture in enumerate(pictures):
        x, y = GAP + number % columns * (width + GAP), bar + number // columns * (height + GAP)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    save_image(path, sheet)
