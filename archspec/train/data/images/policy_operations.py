"""The operations that policies choose among, each of an image and one value.

Those of AutoAugment (arXiv 1805.09501, table 6), by Pillow's own, which its authors used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from PIL import Image, ImageEnhance, ImageOps


@dataclass(frozen=True)
class Outside:
    """What lies beyond the edges of an image that is moved, and how it is read between pixels."""

    colour: tuple[int, ...]
    resampling: Image.Resampling

    @property
    def fill(self) -> int | tuple[int, ...]:
        """The colour as Pillow takes it: of a grey image one number."""
        return self.colour if len(self.colour) > 1 else self.colour[0]

    def move(self, image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
        """Return the image whose pixel (x, y) is the old one at (ax + by + c, dx + ey + f)."""
        kind = Image.Transform.AFFINE
        return image.transform(image.size, kind, matrix, self.resampling, fillcolor=self.fill)


Operation = Callable[[Image.Image, float, Outside], Image.Image]


def _keep(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return image


def _shear_x(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return outside.move(image, (1, value, 0, 0, 1, 0))


def _shear_y(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return outside.move(image, (1, 0, 0, value, 1, 0))


def _translate_x(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return outside.move(image, (1, 0, -int(value), 0, 1, 0))


def _translate_y(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return outside.move(image, (1, 0, 0, 0, 1, -int(value)))


def _rotate(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return image.rotate(value, outside.resampling, fillcolor=outside.fill)


def _enhance(enhancer: Callable[[Image.Image], Any]) -> Operation:
    """A value of 0 changes nothing."""

    def change(image: Image.Image, value: float, outside: Outside) -> Image.Image:
        changed: Image.Image = enhancer(image).enhance(1 + value)
        return changed

    return change


def _posterize(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return ImageOps.posterize(image, round(value))


def _solarize(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    # A grey level is a whole number; a rounding error of the value must not reach the next one.
    return ImageOps.solarize(image, math.ceil(round(value, 6)))


def _stretch_contrast(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return ImageOps.equalize(image)


def _invert(image: Image.Image, value: float, outside: Outside) -> Image.Image:
    return ImageOps.invert(image)


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "identity": _keep,
        "shear_x": _shear_x,
        "shear_y": _shear_y,
        "translate_x": _translate_x,
        "translate_y": _translate_y,
        "rotate": _rotate,
        "brightness": _enhance(ImageEnhance.Brightness),
        "color": _enhance(ImageEnhance.Color),
        "contrast": _enhance(ImageEnhance.Contrast),
        "sharpness": _enhance(ImageEnhance.Sharpness),
        "posterize": _posterize,
        "solarize": _solarize,
        "auto_contrast": _stretch_contrast,
        "equalize": _equalize,
        "invert": _invert,
    }
)
