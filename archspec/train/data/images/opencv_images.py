"""Training images by OpenCV: cropped, resized and recoloured in less time than Pillow takes.

Decoded pixels are the same. A crop of up to twice the network's size is smoothed by three taps and
interpolated, which is Pillow's filter to a grey level or two; colours are changed by one matrix
instead of three passes. What is drawn is what Pillow's way draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from archspec.runtime import import_opencv
from archspec.train.data.images.augmentations import draw_crop_box, draw_flips, follow_policy
from archspec.train.data.images.image_files import (
    END_MARKS,
    TAIL_BYTES,
    ImageFile,
    convert_image,
    with_image,
)
from archspec.train.data.images.preprocess import Preprocess

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]  # (H, W, C), or (H, W) in grey
Draw = Callable[[], np.random.Generator]
"""What makes the generator of an image, anew each time."""
ORIENTATION = 0x0112
UPRIGHT = (None, 1)
MOST_SHRUNK = 2.0
"""Pixels of an image to one of the network's, each way, that three taps are enough for."""
GREY = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue, ITU-R 601: as Pillow and torchvision have it."""


@cache
def load_opencv() -> Any:
    """Return the package. Raises EnvironmentFault (E009)."""
    cv2 = import_opencv()
    cv2.setNumThreads(0)  # several images are made at once: each by the thread that asks
    return cv2


# ---- decoding


def read_pixels(path: ImageFile, preprocess: Preprocess, draw: Draw, white_level: int) -> Pixels:
    """Return an image file's pixels as `read_image` does, but a JPEG that is larger than its crop
    needs at a half, a quarter or an eighth of its size.

    Raises DataError (D001, D005) naming the file.
    """
    decode = partial(_decode, preprocess=preprocess, draw=draw, white_level=white_level)
    return cast("Pixels", with_image(path, decode))


def _decode(
    image: Image.Image, file: IO[bytes], preprocess: Preprocess, draw: Draw, white_level: int
) -> Pixels:
    if image.format == "JPEG" and _is_upright(image):
        size = image.size
        least = _find_least_size(size, preprocess, draw)
        if least != size:
            image.draft(None, least)
        is_plain = image.size == size and image.mode == "RGB" and preprocess.channels > 1
        pixels = _decode_whole(file) if is_plain else None
        if pixels is not None:
            return pixels
    image.load()
    return np.asarray(convert_image(image, preprocess.channels, white_level))


def _is_upright(image: Image.Image) -> bool:
    with suppress(Exception):  # metadata that cannot be read: Pillow's way knows what to do
        return image.getexif().get(ORIENTATION) in UPRIGHT
    return False


def _find_least_size(size: tuple[int, int], preprocess: Preprocess, draw: Draw) -> tuple[int, int]:
    """Return the smallest width and height of an image of this size whose crop is not smaller than
    the network's images. Crops are drawn as shares of an image: of a smaller one the same is cut.
    """
    height, width = preprocess.image_size
    if size[0] < 2 * width or size[1] < 2 * height:
        return size  # no half of it is enough
    left, top, right, bottom = draw_crop_box(size, preprocess, draw())
    share = max(width / (right - left), height / (bottom - top))
    return math.ceil(size[0] * share), math.ceil(size[1] * share)


def _decode_whole(file: IO[bytes]) -> Pixels | None:
    """Return a JPEG's pixels, None of one that Pillow should look at: OpenCV fills what is cut off
    with grey.
    """
    file.seek(0)
    data = file.read()
    if END_MARKS["JPEG"] not in data[-TAIL_BYTES:]:
        return None
    cv2 = load_opencv()
    how = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cast("Pixels | None", cv2.imdecode(np.frombuffer(data, np.uint8), how))


# ---- cropping


def augment_pixels(pixels: Pixels, preprocess: Preprocess, rng: np.random.Generator) -> Pixels:
    """Return pixels as `augment_image` does, in (height, width) of the network."""
    box = draw_crop_box((pixels.shape[1], pixels.shape[0]), preprocess, rng)
    pixels = resize_box(pixels, preprocess, box)
    pixels = _flip(pixels, *draw_flips(preprocess, rng))
    if preprocess.auto_augment is not None:
        return np.asarray(follow_policy(Image.fromarray(pixels), preprocess, rng))
    if preprocess.color_jitter:
        return jitter_colours(pixels, preprocess.color_jitter, rng)
    return pixels


def _flip(pixels: Pixels, across: bool, down: bool) -> Pixels:
    """Not by a view: NumPy reads backwards at half the speed."""
    if not across and not down:
        return pixels
    code = -1 if across and down else int(across)
    return cast("Pixels", load_opencv().flip(pixels, code))


def resize_box(
    pixels: Pixels, preprocess: Preprocess, box: tuple[float, float, float, float]
) -> Pixels:
    """Return a box of the pixels, at whole ones, in the network's size. Where it shrinks it is
    filtered, unless images are resized as MindSpore does.
    """
    height, width = preprocess.image_size
    left, top = int(box[0]), int(box[1])
    right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
    pixels = pixels[top:bottom, left:right]
    across, down = (right - left) / width, (bottom - top) / height
    cv2 = load_opencv()
    if preprocess.resize == "pillow" and max(across, down) > MOST_SHRUNK:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    if preprocess.resize == "pillow" and max(across, down) > 1:
        border = cv2.BORDER_REPLICATE
        pixels = cv2.sepFilter2D(pixels, -1, _taps(across), _taps(down), borderType=border)
    return cast("Pixels", cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _taps(shrunk: float) -> npt.NDArray[np.float32]:
    """What is missing between two filters: of interpolation, a triangle one pixel to each side,
    and of Pillow, one as many pixels as are made one. Variances add up: a triangle's is a sixth of
    its side's square, that of taps at -1 and 1 twice the one's share.
    """
    outer = max(shrunk**2 - 1, 0) / 12
    return np.array([outer, 1 - 2 * outer, outer], np.float32)


# ---- colours


def jitter_colours(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Return the pixels in other brightness, contrast and saturation, in random order, but rounded
    and kept within 0 and 255 once, at the end.
    """
    cv2 = load_opencv()
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    grey = GREY if channels > 1 else np.ones(1)
    mean = np.array(cv2.mean(pixels)[:channels])
    matrix, shift = np.eye(channels), np.zeros(channels)
    for number in rng.permutation(len(_STEPS)):
        factor = rng.uniform(max(0.0, 1 - strength), 1 + strength)
        step, moved = _STEPS[number](factor, grey, grey @ (matrix @ mean + shift))
        matrix, shift = step @ matrix, step @ shift + moved
    return cast("Pixels", cv2.transform(pixels, np.column_stack([matrix, shift])))


def _brightness(factor: float, grey: Floats, mean: float) -> tuple[Floats, float]:
    return factor * np.eye(len(grey)), 0.0


def _contrast(factor: float, grey: Floats, mean: float) -> tuple[Floats, float]:
    """Away from the image's mean grey, or towards it."""
    return factor * np.eye(len(grey)), (1 - factor) * mean


def _saturation(factor: float, grey: Floats, mean: float) -> tuple[Floats, float]:
    """Away from the pixel's own grey, or towards it."""
    return factor * np.eye(len(grey)) + (1 - factor) * grey, 0.0


_STEPS = (_brightness, _contrast, _saturation)
