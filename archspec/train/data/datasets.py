"""What labelled images there are: embedded digits, image folders, CIFAR-10/100 and MNIST files.

Every fault of a data set is reported at once, the first 20 in words. Codes: D001 cannot be read, D002 unknown
layout, D003 a class folder without images, D004 classes differ, D005 an image is not whole, D006 a record
file is not whole, D007 a label out of range, D008 too few images, D011 the same images in two
parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.errors import DataError, Diagnostic
from archspec.train.data.image_files import (
    PART_FOLDERS,
    Parts,
    class_faults,
    collect,
    find_folder,
    read_folder,
    read_image,
    reason_of,
)
from archspec.train.data.overlap import shared
from archspec.train.data.record_files import (
    CIFAR10,
    CIFAR100,
    Records,
    find_cifar,
    find_mnist,
    read_cifar,
    read_digits,
    read_mnist,
)

if TYPE_CHECKING:
    from PIL import Image

MAX_FAULTS = 20


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images, each reachable by its number: `arrays` (N, H, W, C) uint8 or else `files`, N of them.

    `labels` (N,) int32 count `classes`; `rows` are the numbers of its arrays in the files that they came from;
    `notes`, each a line, tell what the user should know, such as which files were skipped.
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

    def image(self, index: int, channels: int) -> Image.Image:
        """Return one image, decoded, in grey (channels 1) or RGB (3). Raises DataError (D001, D005)."""
        if self.arrays is None:
            return read_image(self.files[index], channels)
        from PIL import Image

        pixels = self.arrays[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return (
            image if channels == pixels.shape[2] else image.convert("L" if channels == 1 else "RGB")
        )


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

    @property
    def digest(self) -> str:
        """Tell this data set from others, wherever it lies: by its classes, labels and names of files."""
        digest = sha256(repr(self.classes).encode())
        for part in self.parts:
            digest.update(part.labels.tobytes())
            digest.update(
                "/".join(file.name for file in part.files).encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()


def open_splits(data_dir: Path | None, *, val_fraction: float = 0.1, seed: int = 0) -> Splits:
    """Return the parts of the data set in a folder, or of the embedded digits where there is no folder.

    Where no validation images are set apart, each class gives `val_fraction` of its training images for them;
    test images are never used so, since validation chooses the checkpoint. Raises DataError
    (D001..D008, D011).
    """
    if not 0 < val_fraction < 1:
        raise DataError.one("D008", f"val_fraction (={val_fraction}) must be between 0 and 1")
    kind, parts = (
        ("digits", _digits()) if data_dir is None else _read_parts(data_dir, tuple(PART_FOLDERS))
    )
    train = parts.get("train", parts.get("all"))
    if train is None:
        raise DataError.one("D002", "holds no training images", str(data_dir), _layout(kind))
    if len(train.classes) < 2:
        raise DataError.one(
            "D002", f"holds one class only: {train.classes[0]!r}", str(data_dir), _layout(kind)
        )
    raise_faults([fault for part in ("val", "test") for fault in shared(train, parts.get(part))])
    val = parts.get("val")
    if val is None:
        kept, held_out = stratified(train.labels, val_fraction, seed)
        if not held_out.size:
            raise DataError.one(
                "D008", "holds too few images to split: one of each class", train.name
            )
        train, val = train.subset(kept), train.subset(held_out)
    return Splits(train, val, parts.get("test"), train.classes, kind)


def open_held_out(data_dir: Path | None) -> Source:
    """Return the images to validate with: the test part, else the validation part, else all of a folder of
    class folders.

    Raises DataError (D001..D007).
    """
    kind, parts = (
        ("digits", _digits()) if data_dir is None else _read_parts(data_dir, ("test", "val"))
    )
    for part in ("test", "val", "all"):
        if part in parts:
            return parts[part]
    raise DataError.one("D002", "holds no test or validation images", str(data_dir), _layout(kind))


def stratified(
    labels: npt.NDArray[np.int32], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers kept and the numbers held out: of each class at least one, and never its last."""
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out[members[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def raise_faults(faults: Sequence[Diagnostic]) -> None:
    """Raise DataError with the first 20 faults and the number of the others; return if there are none."""
    if not faults:
        return
    distinct = list(dict.fromkeys(faults))  # two parts may share a file that is at fault
    others = len(distinct) - MAX_FAULTS
    more = [Diagnostic(distinct[MAX_FAULTS].code, f"and {others} more")] if others > 0 else []
    raise DataError(distinct[:MAX_FAULTS] + more)


# ---- from what was read to a Source


def _digits() -> dict[str, Source]:
    """Return the embedded scans; a fixed fifth of them is the test part."""
    source = _source("digits", read_digits())
    train, test = stratified(source.labels, 0.2, seed=0)
    return {"train": source.subset(train), "test": source.subset(test)}


def _of_records(paths: Sequence[Path], *, read: Callable[[Sequence[Path]], Records]) -> Source:
    found = read(paths)
    return _source(", ".join(file for file, _ in found.files), found)


def _source(name: str, found: Records) -> Source:
    return Source(name, found.classes, found.labels, found.arrays, notes=found.notes)


def _of_folder(paths: Sequence[Path]) -> Source:
    found = read_folder(paths[0])
    classes = found.classes
    labels = np.repeat(
        np.arange(len(classes), dtype=np.int32), [len(files) for files in classes.values()]
    )
    files = tuple(chain.from_iterable(classes.values()))
    return Source(str(paths[0]), tuple(classes), labels, files=files, notes=found.notes(paths[0]))


# ---- the table of kinds


@dataclass(frozen=True)
class _Kind:
    """`find` returns the paths of each part, none where the layout is another; `read` returns a part."""

    name: str
    layout: str
    find: Callable[[Path], Parts]
    read: Callable[[Sequence[Path]], Source]


CIFAR10_LAYOUT = "cifar-10-batches-bin/data_batch_1.bin..5 and test_batch.bin"
CIFAR100_LAYOUT = "cifar-100-binary/train.bin and test.bin"
MNIST_LAYOUT = (
    "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each perhaps with .gz"
)
FOLDER_LAYOUT = "train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg"
KINDS = (
    _Kind(
        "cifar10",
        CIFAR10_LAYOUT,
        partial(find_cifar, layout=CIFAR10),
        partial(_of_records, read=partial(read_cifar, layout=CIFAR10)),
    ),
    _Kind(
        "cifar100",
        CIFAR100_LAYOUT,
        partial(find_cifar, layout=CIFAR100),
        partial(_of_records, read=partial(read_cifar, layout=CIFAR100)),
    ),
    _Kind("mnist", MNIST_LAYOUT, find_mnist, partial(_of_records, read=read_mnist)),
    _Kind("folder", FOLDER_LAYOUT, find_folder, _of_folder),
)


def _layout(name: str) -> str:
    return "expected: " + next((kind.layout for kind in KINDS if kind.name == name), name)


def _read_parts(root: Path, wanted: Iterable[str]) -> tuple[str, dict[str, Source]]:
    """Return the kind of the data set and those of the wanted parts that it has; `all` is always wanted."""
    try:
        kind, found = _find(root)
    except OSError as error:
        place = str(error.filename or root)
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", place) from None
    parts = {part: paths for part, paths in found.items() if part in (*wanted, "all")}
    faults: list[Diagnostic] = []
    if kind.name == "folder" and parts:
        roots = [paths[0] for paths in parts.values()]
        faults.extend(collect(faults, class_faults, roots) or ())
    sources = {part: collect(faults, kind.read, paths) for part, paths in parts.items()}
    raise_faults(faults)
    return kind.name, sources


def kind_of(root: Path) -> str:
    """Return the kind of data set in a folder: `folder`, `cifar10`, `cifar100`, `mnist`. Raises DataError."""
    try:
        return _find(root)[0].name
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {error.strerror}", str(root)) from None


def _find(root: Path) -> tuple[_Kind, Parts]:
    if not root.exists():
        raise DataError.one("D001", "does not exist", str(root))
    if not root.is_dir():
        raise DataError.one(
            "D001", "is a file, not a folder", str(root), "an archive has to be unpacked"
        )
    os.scandir(root).close()  # glob takes a folder that it may not read for an empty one
    for kind in KINDS:
        parts = kind.find(root)
        if parts:
            return kind, parts
    layouts = "; ".join(f"{kind.name}: {kind.layout}" for kind in KINDS)
    raise DataError.one(
        "D002", "holds no data set of a known layout", str(root), f"looked for {layouts}"
    )
