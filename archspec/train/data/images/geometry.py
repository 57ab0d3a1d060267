"""How an image is fitted to the network's size, and by whose way it is resized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from archspec.runtime import prepare
from archspec.train.data.images.preprocess import Preprocess

Box = tuple[float, float, float, float]  # left, top, right, bottom
RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
MAX_STRIP = 64
"""Longer side to shorter, up to which all of an image is resized before it is cropped."""


def fit_image(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Return the image as evaluation sees it: resized, and its centre cut where `crop_pct` says."""
    height, width = preprocess.image_size
    if preprocess.crop_pct is None:
        is_fit = image.size == (width, height)
        return image if is_fit else resize_box(image, preprocess, (0, 0, *image.size))
    shorter = int(max(height, width) / preprocess.crop_pct)
    # MindSpore would make all of a strip, which may take gigabytes, before it cuts the centre.
    if preprocess.resize == "mindspore" and max(image.size) <= MAX_STRIP * min(image.size):
        return _resize_and_crop(image, preprocess, shorter)
    # torchvision's rounding, also below.
    whole = [shorter * side // min(image.size) for side in image.size]
    steps = image.width / whole[0], image.height / whole[1]
    left, top = round((whole[0] - width) / 2) * steps[0], round((whole[1] - height) / 2) * steps[1]
    right, bottom = left + width * steps[0], top + height * steps[1]
    return resize_box(
        image, preprocess, (left, top, min(right, image.width), min(bottom, image.height))
    )


def resize_box(image: Image.Image, preprocess: Preprocess, box: Box) -> Image.Image:
    """Return a box of the image, resized to the network's size.

    Pillow filters it when it shrinks. MindSpore does not, and cuts at whole pixels.
    """
    height, width = preprocess.image_size
    if preprocess.resize == "pillow":
        return image.resize((width, height), RESAMPLING[preprocess.interpolation], box)
    left, top = (min(int(start), side - 1) for start, side in zip(box, image.size, strict=False))
    right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
    return _apply(
        image.crop((left, top, right, bottom)), _mindspore_resize(preprocess, (height, width))
    )


def _resize_and_crop(image: Image.Image, preprocess: Preprocess, shorter: int) -> Image.Image:
    """MindCV's evaluation: MindSpore's Resize of the shorter side, and its CenterCrop."""
    prepare()
    from mindspore.dataset import vision

    resized = _apply(image, _mindspore_resize(preprocess, shorter))
    return _apply(resized, vision.CenterCrop(preprocess.image_size))


def _mindspore_resize(preprocess: Preprocess, size: int | tuple[int, int]) -> Any:
    prepare()
    from mindspore.dataset import vision

    return vision.Resize(size, vision.Inter[preprocess.interpolation.upper()])


def _apply(image: Image.Image, operator: Callable[[Any], Any]) -> Image.Image:
    """Return what an operator of MindSpore makes of an image."""
    pixels = np.asarray(image)
    result = operator(pixels[:, :, None] if pixels.ndim == 2 else pixels)
    return Image.fromarray(result[:, :, 0] if pixels.ndim == 2 else result)
