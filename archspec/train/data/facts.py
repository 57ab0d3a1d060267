"""What an image file is: its size, kind and format, and the mean and spread of its pixels."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from archspec.train.data.images.bit_depth import WHITE, is_deep
from archspec.train.data.images.image_files import ImageFile, convert_image, with_image

if TYPE_CHECKING:
    from PIL import Image

GREY, COLOUR = "grey", "colour"
COLOURS = {
    "1": "black and white",
    "L": GREY,
    "LA": GREY,
    "La": GREY,
    "F": GREY,
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
}
"""By Pillow's mode; those that start with I are grey, all others colour."""
COLOURLESS = (GREY, "black and white")
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one image: pixels, kind, and in 0-255 units the mean and the mean square of red, green
    and blue, each (3,).
    """

    width: int
    height: int
    kind: str
    """`colour`, `grey, 16 bit`, `palette, alpha`, `CMYK`, `colour, animated`."""
    mean: npt.NDArray[np.float64]
    square: npt.NDArray[np.float64]
    highest: int = 0
    """The largest value, where it has 16 bits of grey."""
    oddities: tuple[str, ...] = ()

    @property
    def is_colourless(self) -> bool:
        """Whether red, green and blue are equal by its kind."""
        return self.kind.split(",")[0] in COLOURLESS


def read_facts(path: ImageFile, white_level: int = WHITE) -> Facts:
    """Decode an image file, and say what it is. Raises DataError (D001, D005) naming the file."""
    found = with_image(path, partial(_find_facts, suffix=path.suffix, white_level=white_level))
    return cast("Facts", found)


def _find_facts(image: Image.Image, _: IO[bytes], suffix: str, white_level: int) -> Facts:
    extras = list(_find_extras(image))
    colour = GREY if image.mode.startswith("I") else COLOURS.get(image.mode, COLOUR)
    image.load()
    highest = int(np.asarray(image).max()) if is_deep(image) else 0
    pixels = convert_image(image, 3, white_level)
    # A histogram is exact, and quicker than sums over the pixels.
    counts = np.array(pixels.histogram(), np.float64).reshape(3, 256)
    if _has_more_frames(image):
        extras.append("animated" if image.format in ("PNG", "WEBP") else "several pages")
    levels = np.arange(256)
    total = counts[0].sum()
    return Facts(
        *pixels.size,
        kind=", ".join((colour, *extras)),
        mean=counts @ levels / total,
        square=counts @ levels**2 / total,
        highest=highest,
        oddities=tuple(_find_oddities(pixels, counts, image.format or "", suffix)),
    )


def _find_extras(image: Image.Image) -> Iterable[str]:
    """Before the image is loaded: what is read in which way is forgotten then."""
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        yield "alpha"
    if image.mode.startswith("I") or ";16" in str(getattr(image, "tile", "")):
        yield "16 bit"


def _has_more_frames(image: Image.Image) -> bool:
    if image.format != "TIFF":
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    with suppress(Exception):  # there is no second page, or it is damaged: nobody reads it
        image.seek(1)
        return True
    return False


def _find_oddities(
    pixels: Image.Image, counts: npt.NDArray[np.float64], written: str, suffix: str
) -> Iterable[str]:
    if (counts > 0).sum(axis=1).max() == 1:
        yield "has one colour only"
    if min(pixels.size) == 1:
        yield f"is {pixels.width} x {pixels.height} pixels"
    if suffix and suffix.lower() not in SUFFIXES.get(written, (suffix.lower(),)):
        yield f"is a {written} image with the suffix {suffix}"
