"""Grey images of more than 8 bits: scaled by a range that is said, never clipped in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

WHITE = 65_535
"""The largest value of 16 bits."""


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has grey values of more than 8 bits: Pillow's own `convert` would
    clip them to 255.
    """
    return image.mode.startswith(("I", "F"))


def reduce_depth(image: Image.Image, white_level: int = WHITE) -> Image.Image:
    """Return a deep image in grey of 8 bits: 0 stays 0, `white_level` and above become 255.

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
    scaled = np.rint(np.minimum(values, white_level) * (255 / white_level))
    return Image.fromarray(scaled.astype(np.uint8))
