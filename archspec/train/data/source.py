"""Labelled images, whatever they lie in, and the parts that they are split into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.errors import DataError, Diagnostic
from archspec.train.data.image_files import read_image

if TYPE_CHECKING:
    from PIL import Image

MAX_FAULTS = 20


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images, each reachable by its number:
    `arrays` (N, H, W, C) uint8 or else `files`, N of them.

    `labels` (N,) int32 count `classes`; `rows` are the numbers of its arrays in the files that they
    came from; `notes`, each a line, tell what the user should know,
    such as which files were skipped.
    """

    name: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    arrays: npt.NDArray[np.uint8] | None = None
    files: tuple[Path, ...] = ()
    rows: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return the images with these numbers, in this order."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            labels=self.labels[chosen],
            arrays=None if self.arrays is None else self.arrays[chosen],
            files=tuple(self.files[i] for i in chosen) if self.files else (),
            rows=chosen if self.rows is None else self.rows[chosen],
        )

    def name_of(self, index: int) -> str:
        """Return what a person finds an image by: its file, or its number among the records."""
        if self.files:
            return str(self.files[index])
        return f"image {index if self.rows is None else self.rows[index]} of {self.name}"

    def image(self, index: int, channels: int) -> Image.Image:
        """Return one image, decoded, in grey (channels 1) or RGB (3).

        Raises DataError (D001, D005).
        """
        if self.arrays is None:
            return read_image(self.files[index], channels)
        from PIL import Image

        pixels = self.arrays[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if channels == pixels.shape[2]:
            return image
        return image.convert("L" if channels == 1 else "RGB")


@dataclass(frozen=True, eq=False)
class Splits:
    """Images to learn from, to choose by, and to judge with (`test`, None where there are none)."""

    train: Source
    val: Source
    test: Source | None
    classes: tuple[str, ...]
    kind: str

    @property
    def parts(self) -> tuple[Source, ...]:
        """The parts that there are."""
        return (self.train, self.val) if self.test is None else (self.train, self.val, self.test)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the data, each a line and said once."""
        return tuple(dict.fromkeys(chain.from_iterable(part.notes for part in self.parts)))

    @cached_property
    def digest(self) -> str:
        """Tell this data set from others, wherever it lies: `NAMES+CONTENTS`.

        NAMES are the classes, the labels and the names of files; CONTENTS the sizes of files, or
        the very bytes of records.
        """
        return f"{self._digest_names()}+{self._digest_contents()}"

    def find_change(self, known: str) -> str:
        """Return in words what differs from a data set with a known digest, "" where nothing does.

        Earlier versions kept NAMES alone.
        """
        names, _, contents = known.partition("+")
        if names != self._digest_names():
            return "it has other classes, labels or names of files"
        if contents and known != self.digest:
            return "images have other bytes"
        return ""

    def _digest_names(self) -> str:
        digest = sha256(repr(self.classes).encode())
        for part in self.parts:
            digest.update(part.labels.tobytes())
            names = "/".join(file.name for file in part.files)
            digest.update(names.encode("utf-8", "surrogateescape"))  # a name may be no UTF-8
        return digest.hexdigest()

    def _digest_contents(self) -> str:
        # Not by the pixels of files, which would take minutes: sizes take 3 us a file.
        digest = sha256()
        for part in self.parts:
            sizes = np.fromiter(map(_size_of, part.files), np.int64, len(part.files))
            digest.update(sizes.tobytes())
            if part.arrays is not None:
                digest.update(np.ascontiguousarray(part.arrays).data)
        return digest.hexdigest()


def _size_of(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:  # to be told when it is opened
        return -1


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set as it lies: the parts that it has, none of them split yet."""

    train: Source
    val: Source | None
    test: Source | None
    kind: str

    def split(self, *, val_fraction: float = 0.1, seed: int = 0) -> Splits:
        """Return the parts to train with.

        Where no validation images are set apart, each class gives `val_fraction` of its training
        images for them; test images are never used so, since validation chooses the checkpoint.
        Raises DataError (D008).
        """
        if not 0 < val_fraction < 1:
            raise DataError.one("D008", f"val_fraction (={val_fraction}) must be between 0 and 1")
        train, val = self.train, self.val
        if val is None:
            kept, held_out = split_by_class(train.labels, val_fraction, seed)
            train, val = train.subset(kept), train.subset(held_out)
        return Splits(train, val, self.test, train.classes, self.kind)


def split_by_class(
    labels: npt.NDArray[np.int32], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers kept and the numbers held out:
    of each class at least one, and never its last.
    """
    # Class by class, so that each is held out in its own share, however rare it is.
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out[members[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


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
