"""Image files: which ones a folder has, how large they are as they are loaded, and those of more than 8 bits."""

import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from mmnetaug.errors import ADVICE, UNREADABLE, InputError

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.jpe', '.jfif', '.mpo', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm'}
EXIF_ORIENTATION, TURNED_BY_90 = 0x0112, (5, 6, 7, 8)
# Orientations that bring the end of a stored row or column to the left, and to the top.
REVERSED = (2, 3, 6, 7), (3, 4, 7, 8)
# What Pillow raises for many pixels, and for half as many where a program has its warnings be errors.
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
TIFF = (b'II*\0', b'MM\0*')
NO_IMAGE, NO_VALUES = 'files that are no images', 'images with values that are not of 8 or 16 bits'
# What sizes of images and decoding depend on.
READERS = f'1, OpenCV {cv2.__version__}, Pillow {PIL.__version__}'
NO_UTF8 = 'files with names that are no UTF-8'


class UnusableImage(ValueError):
    """A file that is not read; the message is its kind, in the plural."""


def paths_below(folder: str | Path) -> Iterator[str]:
    """Regular files in a folder and the folders in it, in order, without hidden ones (``.ipynb_checkpoints``).

    Raises:
        OSError: a folder that is there cannot be read.
    """
    seen, folders = set(map(str, Path(os.path.realpath(folder)).parents)), [os.fspath(folder)]
    while folders:
        place = folders.pop()
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back, or to a folder above with all that is beside this one
            continue
        seen.add(real)
        below = []
        try:
            with os.scandir(place) as found:
                entries = sorted((entry for entry in found if not entry.name.startswith('.')), key=lambda e: e.name)
        except OSError as error:
            if error.errno in UNREADABLE:
                raise
            continue
        for entry in entries:
            try:
                if entry.is_file():  # no named pipe, on which reading would wait
                    yield entry.path
                elif entry.is_dir():
                    below.append(entry.path)
            except OSError as error:
                if error.errno in UNREADABLE:
                    raise
                continue  # a link to itself
        folders += reversed(below)


def check_readable(path: str | Path) -> None:
    """Raise :class:`InputError` if a file is there and the system does not let it be read to its end, so that it passes
    neither for a missing nor for a broken one."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, 'rb') as file:
                while file.read(2**20):
                    pass
    except (OSError, ValueError) as error:  # of names that cannot be, too
        if getattr(error, 'errno', None) in UNREADABLE:
            raise InputError(f'{path} cannot be read ({error.strerror}). {ADVICE[error.errno]}') from error


def is_image(path: str) -> bool:
    """Whether a path is an image by its suffix."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def images_below(folder: Path) -> list[Path]:
    """Those of :func:`paths_below` that are images by their suffix."""
    return [Path(path) for path in paths_below(folder) if is_image(path)]


def is_utf8(path: str | Path) -> bool:
    """Whether a file's name can be written as text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def image_size(path: Path, decode: bool) -> tuple[int, int]:
    """Width and height in pixels as the image is loaded, which OpenCV turns by its EXIF orientation.

    Args:
        path: of the file.
        decode: read all of it, not the header alone, so that a truncated image is found.

    Raises:
        UnusableImage: it is no image, or one whose values are not understood.
        InputError: it is there and cannot be read.
    """
    (width, height), turned = stored_size(path, decode)
    return (height, width) if turned else (width, height)


def stored_size(path: Path, decode: bool = False) -> tuple[tuple[int, int], bool]:
    """Width and height in pixels as they are stored, and whether loading exchanges them; see :func:`image_size`."""
    if not is_utf8(path):  # OpenCV cannot be told to open it
        raise UnusableImage(NO_UTF8)
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
        if os.name == 'posix' or str(path).isascii():  # else OpenCV looks for another name
            regular = regular and cv2.haveImageReader(os.fspath(path))
    except (OSError, ValueError):
        regular = False
    if not regular:
        check_readable(path)
        raise UnusableImage(NO_IMAGE)
    try:
        with Image.open(path) as image:
            size, orientation = _as_stored(image)
            kind = _kind(image)
            turned = orientation in TURNED_BY_90 and kind in turned_formats()
            if kind == 'TIFF' and image.mode in ('I', 'F'):  # of others Pillow has 16 bits in 'I' too
                raise UnusableImage(NO_VALUES)
            if decode:
                image.load()
    except TOO_LARGE:  # which OpenCV reads up to 2**30 pixels
        image = opencv_image(path, cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise UnusableImage('images of more pixels than OpenCV reads') from None
        return image.shape[::-1], False
    except UnidentifiedImageError:  # such as colours of more than 16 bits, which have a reason of their own
        return read_deep(path).shape[1::-1], False
    except UnusableImage:
        raise
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, OverflowError, RuntimeError):
        check_readable(path)
        raise UnusableImage(NO_IMAGE) from None
    if decode and is_deep(path):
        read_deep(path)
    elif decode and kind != 'JPEG' and opencv_image(path) is None:
        raise UnusableImage(NO_IMAGE)  # such as a PNG without its last bytes, which Pillow does without
    return size, turned


def jpeg_size(data: bytes) -> tuple[tuple[int, int], tuple[bool, bool]] | None:
    """Width and height in pixels as OpenCV loads the content of a JPEG file, and whether its EXIF orientation reverses
    either of them; None if it is no JPEG."""
    if not data.startswith(b'\xff\xd8'):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            sides, orientation = _as_stored(image)
    except (*TOO_LARGE, OSError, SyntaxError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if 'JPEG' not in turned_formats():
        orientation = None
    return sides[::-1] if orientation in TURNED_BY_90 else sides, tuple(orientation in axis for axis in REVERSED)


def opencv_image(path: str | Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """As ``cv2.imread``, which on Windows finds names in ASCII alone; None above its limits of sides and pixels.

    Raises:
        InputError: the file is there and cannot be read.
    """
    image = None
    with suppress(OSError):
        image = _decoded(np.fromfile(path, np.uint8), flags)
    if image is None:
        check_readable(path)
    return image


def _decoded(data: np.ndarray, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


def _kind(image: Image.Image) -> str:
    return 'JPEG' if image.format == 'MPO' else image.format or ''


def _as_stored(image: Image.Image) -> tuple[tuple[int, int], int | None]:
    """Width and height in pixels before turning, and the orientation by EXIF alone: OpenCV does not read XMP, as
    Pillow's ``getexif`` does. To be asked before a TIFF is loaded, which Pillow turns."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        return (tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]), tags.get(EXIF_ORIENTATION)
    exif = Image.Exif()
    try:
        exif.load(image.info.get('exif'))
    except (struct.error, SyntaxError, ValueError):  # cut off: OpenCV does without
        exif.clear()
    return image.size, exif.get(EXIF_ORIENTATION)


@cache
def turned_formats() -> frozenset[str]:
    """Formats whose EXIF orientation the installed OpenCV obeys, which differs by its version."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TURNED_BY_90[0]
    found = set()
    for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF'):
        file = io.BytesIO()
        try:
            Image.new('RGB', (16, 8)).save(file, kind, exif=exif)
        except (KeyError, OSError):  # this Pillow cannot write it
            continue
        image = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
        if image is not None and image.shape[:2] == (16, 8):
            found.add(kind)
    return frozenset(found)


def is_deep(path: str | Path) -> bool:
    """Whether values may have more than 8 bits: TIFF, 16-bit PNG and PPM, of which OpenCV reads the upper 8 bits."""
    with open(path, 'rb') as file:
        start = file.read(32)
    if start[:4] == b'\x89PNG':
        return start[24:25] == b'\x10'
    return start[:4] in TIFF or start[:2] in (b'P2', b'P3', b'P5', b'P6')


def read_image(path: str | Path) -> np.ndarray:
    """An image that :func:`image_size` has found usable, as detectors take it: (H, W, 3) uint8 BGR."""
    return read_deep(path) if is_deep(path) else opencv_image(path)


def read_deep(path: str | Path) -> np.ndarray:
    """An image of :func:`is_deep`, scaled to 8 bits by the bits that its values use.

    Values above 255 are of 10, 12, 14 or 16 bits, by the highest of the image: cameras of 12 bits store theirs in 16.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        UnusableImage: no image, or values of another type.
    """
    flags = cv2.IMREAD_UNCHANGED
    data = np.fromfile(path, np.uint8)
    if data[:4].tobytes() not in TIFF:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # unlike the other it turns a PNG by its orientation
    image = _decoded(data, flags)
    if image is None:
        raise UnusableImage(NO_IMAGE)
    image = to_8_bits(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 2 or image.shape[2] > 4:
        raise UnusableImage('images with other channels than grey, colours and transparency')
    return np.ascontiguousarray(image[..., :3])


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Values of any type as uint8; see :func:`read_deep`."""
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise UnusableImage(NO_VALUES)
    bits = next(bits for bits in (8, 10, 12, 14, 16) if image.max() < 2**bits)
    return (image >> (bits - 8)).astype(np.uint8)
