"""Grey images of more than 8 bits: scaled by a range that is said, never clipped in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

WHITE = 65_535
"""The largest value of 16 bits."""
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""TIFF 6.0, section 8: the tag that tells what 0 means, and its value where it is white."""


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has grey values of more than 8 bits: Pillow's own `convert` would
    clip them to 255.
    """
    return image.mode.startswith(("I", "F"))


def is_negative(image: Image.Image) -> bool:
    """Return whether 0 is white in a deep image, as TIFF may have it: Pillow turns only 8 bits."""
    tags = getattr(image, "tag_v2", {})
    return is_deep(image) and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def reduce_depth(
    image: Image.Image, white_level: int = WHITE, *, negative: bool = False
) -> Image.Image:
    """Return a deep image in grey of 8 bits: 0 stays 0, `white_level` and above become 255; of a
    negative the other way round.

    One range serves every image: a range of each image's own would make the same value another
    grey in each. Raises ValueError where no such range can be told.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError(
            "its values are floating-point numbers, whose range is unknown: save 8 or 16 bits"
        )
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > WHITE:
        raise ValueError(f"its values are {low} to {high}, not within 0 and {WHITE}, of 16 bits")
    values = np.minimum(values, white_level)
    if negative:
        values = white_level - values
    scaled = np.rint(values * (255 / white_level))
    return Image.fromarray(scaled.astype(np.uint8))
