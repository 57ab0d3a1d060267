"""Labelled images, whatever they lie in, and the parts that they are split into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.errors import DataError, Diagnostic, format_count
from archspec.train.data.images.bit_depth import WHITE
from archspec.train.data.images.image_files import ImageFile, read_image
from archspec.train.data.sources.mask_values import LEVELS, NUMBERS, MaskValues
from archspec.train.data.sources.masks import encode_mask, read_mask

if TYPE_CHECKING:
    from PIL import Image

MAX_FAULTS = 20
File = TypeVar("File")
OnError = Literal["stop", "skip"]
"""What becomes of an image that is not whole."""


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images, each reachable by its number:
    `arrays` (N, H, W, C) uint8 or else `files`, N of them.

    `labels` (N,) int32 count `classes`; where images may have several, they are (N, classes)
    float32, 1 for each that an image has. `rows` are the numbers of its arrays in the files that
    they came from; `notes`, each a line, tell what the user should know, such as which files were
    skipped; `broken` are the images that are known not to be whole, by number, and `left_out` those
    that are here no more for that, by name.

    Where each pixel has a class, `masks` are N files more, `mask_values` say which value is which
    class, and labels are zeros; `counts` (N, 256) are the pixels of each value of each mask, None
    where they were not counted, and `faults` wait for those that show when the classes are known
    (`label_masks`).
    """

    name: str
    classes: tuple[str, ...]
    labels: npt.NDArray[Any]
    arrays: npt.NDArray[np.uint8] | None = None
    files: tuple[ImageFile, ...] = ()
    rows: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    broken: tuple[tuple[int, Diagnostic], ...] = ()
    left_out: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()
    counts: npt.NDArray[np.int64] | None = None
    mask_values: MaskValues = NUMBERS
    faults: tuple[Diagnostic, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def count_labels(self) -> npt.NDArray[np.int64]:
        """Return how many images have each class's label, (classes,)."""
        if self.is_multi_label:
            return np.asarray(self.labels.sum(axis=0), np.int64)
        # Masks have no classes before they are looked through.
        return np.bincount(self.labels, minlength=len(self.classes))[: len(self.classes)]

    def subset(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return the images with these numbers, in this order."""
        chosen = np.asarray(indices, np.int64)
        known, broken = dict(self.broken), []
        for number, index in enumerate(chosen.tolist()):
            if index in known:
                broken.append((number, known[index]))
        return replace(
            self,
            labels=self.labels[chosen],
            arrays=None if self.arrays is None else self.arrays[chosen],
            files=_choose(self.files, chosen),
            rows=chosen if self.rows is None else self.rows[chosen],
            broken=tuple(broken),
            masks=_choose(self.masks, chosen),
            counts=None if self.counts is None else self.counts[chosen],
        )

    def note_broken(self) -> Self:
        """Return the images with a note that those which are not whole will be left out."""
        if not self.broken:
            return self
        count = format_count(len(self.broken), "image")
        verb = "is" if len(self.broken) == 1 else "are"
        note = f"{self.name}: {count} left out that {verb} not whole, first {self.broken[0][1]}"
        return replace(self, notes=(*self.notes, note))

    def leave_out_broken(self) -> Self:
        """Return the images that are whole."""
        if not self.broken:
            return self
        broken = {number for number, _ in self.broken}
        kept = self.subset([i for i in range(len(self)) if i not in broken])
        left_out = tuple(map(self.name_of, sorted(broken)))
        return replace(kept, left_out=(*self.left_out, *left_out))

    def name_of(self, index: int) -> str:
        """Return what a person finds an image by: its file, or its number among the records."""
        if self.files:
            return str(self.files[index])
        return f"image {index if self.rows is None else self.rows[index]} of {self.name}"

    def image(self, index: int, channels: int, white_level: int = WHITE) -> Image.Image:
        """Return one image, decoded, in grey (channels 1) or RGB (3); see `read_image`.

        Raises DataError (D001, D005).
        """
        if self.arrays is None:
            return read_image(self.files[index], channels, white_level)
        from PIL import Image

        pixels = self.arrays[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if channels == pixels.shape[2]:
            return image
        return image.convert("L" if channels == 1 else "RGB")

    def mask(self, index: int) -> Image.Image:
        """Return the mask of an image, as `encode_mask` makes it.

        Raises DataError (D001, D005, D016).
        """
        file = self.masks[index]
        return encode_mask(read_mask(file), self.mask_values, str(file))

    def count_pixels(self) -> list[int]:
        """Return how many pixels of its masks each class has; reads all masks that were
        not counted yet. Raises DataError (D001, D005, D016).
        """
        counts = self.counts
        if counts is None:
            rows = [np.bincount(read_mask(file).ravel(), minlength=LEVELS) for file in self.masks]
            counts = np.array(rows)
        pixels: list[int] = self.mask_values.count_classes(counts).sum(axis=0).tolist()
        return pixels


def _choose(files: tuple[File, ...], chosen: npt.NDArray[np.int64]) -> tuple[File, ...]:
    """Those of the files with these numbers; none where images have no files."""
    return tuple(files[index] for index in chosen) if files else ()


def raise_faults(faults: Sequence[Diagnostic]) -> None:
    """Raise DataError with the first 20 faults and the number of the others;
    return if there are none.
    """
    if not faults:
        return
    distinct = list(dict.fromkeys(faults))  # two parts may share a file that is at fault
    others = len(distinct) - MAX_FAULTS
    more = [Diagnostic(distinct[MAX_FAULTS].code, f"and {others} more")] if others > 0 else []
    raise DataError(distinct[:MAX_FAULTS] + more)
