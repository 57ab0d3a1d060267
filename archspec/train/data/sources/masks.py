"""Masks: images whose pixels are numbers of classes; how they are read, and whether they are whole.

On its way into the network a mask is an image of class + 1, in which 0 is ignored: so whatever
moves it leaves ignored pixels where nothing was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic
from archspec.train.data.images.image_files import (
    check_end,
    collect_faults,
    ignore_warnings,
    with_image,
)
from archspec.train.data.sources.mask_values import LEVELS, MaskValues

if TYPE_CHECKING:
    from PIL import Image

Values = npt.NDArray[np.uint8]  # (H, W)
MAX_MASKS = 20_000  # looked through before training: a minute or two; of more, while they are read
ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""Orientations in EXIF whose pictures are stored with their sides exchanged."""
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
"""A PNG's last chunk, with its checksum."""
FEW_BITS = {"L;2": 255 // 3, "L;4": 255 // 15}
"""What Pillow multiplies the values of a grey image by that has 2 or 4 bits a pixel."""
LOSSLESS = ("PNG", "BMP", "TIFF")
JPEG_IN_TIFF = ("jpeg", "tiff_jpeg")
_CURE = (
    "a mask is a grey or palette PNG whose pixels are class indices: 0, 1, 2, ...; "
    "data.ignore_index is no class"
)


def read_mask(path: Path) -> Values:
    """Return a mask's values as they are written.

    Raises DataError: D001, D005, it cannot be read; D016, its pixels are no class indices.
    """
    return cast("Values", with_image(path, partial(_read_values, path=path)))


def _read_values(image: Image.Image, file: IO[bytes], path: Path) -> Values:
    _check_png_end(image, file, path)
    is_lossy = image.format == "JPEG" or image.info.get("compression") in JPEG_IN_TIFF
    step = _find_step(image)
    image.load()
    values = np.asarray(_turn_upright(image))
    if values.ndim == 3 and image.format in LOSSLESS:
        values = _take_grey(values)
    rule = "is a JPEG, which blurs class indices" if is_lossy else _find_fault(values, image.mode)
    if rule:
        raise DataError.one("D016", rule, str(path), _CURE)
    return values.astype(np.uint8) // np.uint8(step)


def _find_fault(values: npt.NDArray[Any], mode: str) -> str:
    """Why these are no class indices of pixels, "" where they may be."""
    if values.ndim == 3 or mode == "F":
        return f"holds colours ({mode}), not class indices"
    if values.max() >= LEVELS:  # of 16 bits
        return f"has values up to {values.max()}; class indices go up to 255"
    if values.min() < 0:  # of 32 bits
        return f"has values down to {values.min()}; class indices start at 0"
    return ""


def _take_grey(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One channel of pixels (H, W, C) that are grey though stored as colours, as many tools write
    black and white; all of others, and of what can be seen through.
    """
    colours, rest = pixels[..., :3], pixels[..., 3:]
    if colours.shape[2] < 3 or (rest < LEVELS - 1).any() or (colours != colours[..., :1]).any():
        return pixels
    return np.asarray(colours[..., 0])


def _check_png_end(image: Image.Image, file: IO[bytes], path: Path) -> None:
    """Pillow reads a PNG that lacks its end without a word, if the rows of pixels are there."""
    if image.format != "PNG":
        return
    place = file.tell()
    file.seek(0)
    is_whole = PNG_END in file.read()
    file.seek(place)
    if not is_whole:
        raise DataError.one("D005", "is cut at its end", str(path), "copy it anew")


def _find_step(image: Image.Image) -> int:
    """What the values of a grey image of few bits were multiplied by, so that the highest is white;
    to be asked before it is decoded.
    """
    for tile in image.tile:  # type: ignore[attr-defined]  # of every image that a file holds
        raw = tile[3] if isinstance(tile[3], str) else tile[3][0]
        return FEW_BITS.get(raw, 1)
    return 1


def _turn_upright(image: Image.Image) -> Image.Image:
    """As `read_image` turns the picture that a mask belongs to."""
    from PIL import ImageOps

    with suppress(Exception):  # metadata that cannot be read spoil no pixels
        return ImageOps.exif_transpose(image)
    return image


def encode_mask(values: Values, known: MaskValues, place: str) -> Image.Image:
    """Return an image of class + 1, with 0 for what is ignored.

    Raises DataError (D016), naming the `place`, where a value is neither a class nor ignored.
    """
    from PIL import Image

    rule = known.describe_others(np.bincount(values.ravel(), minlength=LEVELS))
    if rule:
        raise DataError.one("D016", rule, place)
    return Image.fromarray(known.make_table()[values])


def decode_mask(values: Values) -> npt.NDArray[np.int32]:
    """Return the classes of an encoded mask (H, W), -1 where it is ignored."""
    return values.astype(np.int32) - 1


@dataclass(frozen=True, eq=False)
class Looked:
    """What was seen when images and masks were looked through."""

    counts: npt.NDArray[np.int64]
    """Pixels of each value of each mask (N, 256)."""
    broken: tuple[tuple[int, Diagnostic], ...]
    """Images that are not whole, by number."""


def look_through(pairs: Sequence[tuple[Path, Path]], faults: list[Diagnostic]) -> Looked | None:
    """Return what images and their masks hold, None where there are too many to look through.
    Masks that are broken, or not of their images' sizes, are added to the faults.
    """
    if len(pairs) > MAX_MASKS:
        return None
    counts = np.zeros((len(pairs), LEVELS), np.int64)
    broken: list[tuple[int, Diagnostic]] = []
    with ignore_warnings():
        for number, (image, mask) in enumerate(pairs):
            of_image: list[Diagnostic] = []
            size = collect_faults(of_image, with_image, image, _measure)
            broken += [(number, fault) for fault in of_image]
            values = collect_faults(faults, read_mask, mask)
            if values is None:
                continue
            counts[number] = np.bincount(values.ravel(), minlength=LEVELS)
            faults += find_other_size(mask, values.shape[::-1], size or values.shape[::-1])
    return Looked(counts, tuple(broken))


def _measure(image: Image.Image, file: IO[bytes]) -> tuple[int, int]:
    """The upright image's width and height; what is told of it beside is whether it is whole."""
    check_end(image, file)
    size = image.size
    return size[::-1] if image.getexif().get(ORIENTATION) in LYING else size


def find_other_size(mask: Path, size: Sequence[int], wanted: Sequence[int]) -> list[Diagnostic]:
    """Return the fault of a mask whose width and height are not its image's, if there is one."""
    if tuple(size) == tuple(wanted):
        return []
    (width, height), (its_width, its_height) = size, wanted
    rule = f"is {width} x {height} pixels, its image {its_width} x {its_height}"
    return [Diagnostic("D015", rule, str(mask))]
