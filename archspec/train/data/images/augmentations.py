"""What changes one training image at random: crops, moves, flips and colours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from archspec.train.data.images.geometry import RESAMPLING, Box, fit_image, resize_box
from archspec.train.data.images.policies import apply_policy
from archspec.train.data.images.policy_operations import Outside
from archspec.train.data.images.preprocess import Preprocess

CROP_TRIES = 10  # as in torchvision and MindCV
MOST_DEGREES = 15.0
MOST_MOVED = 1 / 10  # of the image's size
MOST_PADDED = 4


def augment_image(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Return the image as training sees it, but for mean and std and what comes after them."""
    image = AUGMENTS[preprocess.augment](image, preprocess, rng)
    image = _flip_at_random(image, preprocess, rng)
    image = follow_policy(image, preprocess, rng)
    strength = preprocess.color_jitter
    return _jitter(image, strength, rng) if strength else image


def follow_policy(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Return the image after what its policy draws for it, where it has one."""
    if preprocess.auto_augment is None:
        return image
    outside = Outside(preprocess.mean_colour, RESAMPLING[preprocess.interpolation])
    return apply_policy(preprocess.auto_augment, image, outside, rng)


def _change_nothing(
    image: Image.Image, preprocess: Preprocess, _: np.random.Generator
) -> Image.Image:
    return fit_image(image, preprocess)


def _crop_and_resize(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    return resize_box(image, preprocess, draw_crop_box(image.size, preprocess, rng))


def draw_crop_box(size: tuple[int, int], preprocess: Preprocess, rng: np.random.Generator) -> Box:
    """Return a box of random area and shape; where none of ten fits, the largest in the middle."""
    scale, (flattest, widest) = preprocess.scale, preprocess.ratio
    width, height = map(float, size)
    areas = width * height * rng.uniform(scale[0], scale[1], CROP_TRIES)
    ratios = np.exp(rng.uniform(math.log(flattest), math.log(widest), CROP_TRIES))
    # One by one: the first fits mostly, and NumPy takes longer for ten than Python for one.
    for area, ratio in zip(areas.tolist(), ratios.tolist(), strict=True):
        across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if across <= width and down <= height:
            left, top = rng.random(2).tolist()
            left, top = left * (width - across), top * (height - down)
            # Pillow refuses a box that rounding puts beyond the edge.
            return left, top, min(left + across, width), min(top + down, height)
    across, down = min(width, height * widest), min(height, width * (1 / flattest))
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, min((width + across) / 2, width), min((height + down) / 2, height)


def _pad_and_crop(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Move the fitted image by up to 4 pixels each way, black where nothing was."""
    image = fit_image(image, preprocess)
    left, top = (int(offset) for offset in rng.integers(-MOST_PADDED, MOST_PADDED + 1, 2))
    return image.crop((left, top, left + image.width, top + image.height))


def _crop_as_it_is(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Cut a box of the network's size out of the image; one that is smaller is moved within it,
    black where nothing is.
    """
    height, width = preprocess.image_size
    spare = (image.width - width, image.height - height)
    left, top = (int(rng.integers(min(room, 0), max(room, 0) + 1)) for room in spare)
    return image.crop((left, top, left + width, top + height))


def _turn_and_move(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Turn and move the image a little, black where nothing was:
    for drawn characters, which have a right side.
    """
    image = fit_image(image, preprocess)
    angle = rng.uniform(-MOST_DEGREES, MOST_DEGREES)
    moved = rng.uniform(-MOST_MOVED, MOST_MOVED, 2) * image.size
    # Pillow's rotate moves by whole pixels only, which is much of an 8 x 8 digit.
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    middle = np.array(image.size) / 2
    x, y = middle - np.array([[cos, sin], [-sin, cos]]) @ (middle + moved)
    resampling = RESAMPLING[preprocess.interpolation]
    return image.transform(
        image.size, Image.Transform.AFFINE, (cos, sin, x, -sin, cos, y), resampling
    )


def _flip_at_random(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    across, down = draw_flips(preprocess, rng)
    if across:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if down:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def draw_flips(preprocess: Preprocess, rng: np.random.Generator) -> tuple[bool, bool]:
    """Return whether an image is mirrored left to right, and top to bottom."""
    share = preprocess.mirrored_share
    across = bool(share) and rng.random() < share
    return across, bool(preprocess.vflip) and rng.random() < preprocess.vflip


def _jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """In random order, as MindSpore's RandomColorAdjust and torchvision's ColorJitter do it."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for number in rng.permutation(len(enhancers)):
        image = enhancers[number](image).enhance(rng.uniform(max(0.0, 1 - strength), 1 + strength))
    return image


AUGMENTS: dict[str, Callable[[Image.Image, Preprocess, np.random.Generator], Image.Image]] = {
    "none": _change_nothing,
    "pad_crop_flip": _pad_and_crop,
    "affine": _turn_and_move,
    "random_crop": _crop_as_it_is,
    "random_resized_crop": _crop_and_resize,
}
