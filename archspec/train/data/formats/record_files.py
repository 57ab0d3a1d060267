"""Images that lie as records in a few files: embedded digits, CIFAR-10/100, MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic
from archspec.train.data.images.image_files import collect_faults

MAX_RECORD_BYTES = 1 << 30
DIGITS = "datasets/data/digits.csv.gz"
Parts = dict[str, tuple[Path, ...]]  # the files of "train" and "test"


@dataclass(frozen=True, eq=False)
class Records:
    """Images (N, H, W, C) uint8 with `labels` (N,) int32 that count `classes`,
    from `files` (name, images).

    `notes`, each a line, tell what the user should know of them.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    arrays: npt.NDArray[np.uint8]
    files: tuple[tuple[str, int], ...]
    notes: tuple[str, ...] = ()


def read_digits() -> Records:
    """Return scikit-learn's 1,797 scans of 8 x 8 pixels, scaled to bytes."""
    scans, labels = _read_scans()
    return Records(
        classes=tuple(map(str, range(10))),
        labels=labels.astype(np.int32),
        arrays=np.rint(scans.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8),
        files=(("scikit-learn digits", len(labels)),),
    )


def _read_scans() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return levels (N, 64) in 0..16, and labels (N,).

    They are read from scikit-learn's file where it lies where it always has: to import the
    package takes 0.7 s of the processor, as long as all else that a dry run does.
    """
    package = find_spec("sklearn")
    file = Path(package.origin if package and package.origin else "").parent / DIGITS
    if not file.is_file():
        from sklearn.datasets import load_digits

        found: tuple[npt.NDArray[Any], npt.NDArray[Any]] = load_digits(return_X_y=True)
        return found
    rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return rows[:, :-1], rows[:, -1]


# ---- CIFAR: records of one or two label bytes, then planes of red, green and blue


@dataclass(frozen=True)
class Cifar:
    """The names of the files, and what a record is."""

    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int  # the last of them is the label
    classes: int

    @property
    def record_bytes(self) -> int:
        """The label bytes and three planes of 32 x 32."""
        return self.label_bytes + 3 * 32 * 32


BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10 = Cifar("cifar-10-batches-bin", BATCHES, "test_batch.bin", "batches.meta.txt", 1, 10)
CIFAR100 = Cifar("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 2, 100)


def find_cifar(root: Path, *, layout: Cifar) -> Parts:
    """Return the files of each part that is there,
    in the root or in the folder of the official archive.
    """
    for place in (root, root / layout.folder):
        present = [i for i, name in enumerate(layout.train) if (place / name).is_file()]
        upto = max(present, default=-1) + 1  # a batch that is missing between others is a fault
        train = tuple(place / name for name in layout.train[:upto])
        test = (place / layout.test,) if (place / layout.test).is_file() else ()
        found = {part: paths for part, paths in (("train", train), ("test", test)) if paths}
        if found:
            return found
    return {}


def read_cifar(paths: Sequence[Path], *, layout: Cifar) -> Records:
    """Return images (N, 32, 32, 3) of all files in turn.

    Raises DataError (D001, D006, D007), all faults at once.
    """
    faults: list[Diagnostic] = []
    names = collect_faults(
        faults, _read_cifar_names, paths[0].parent / layout.names, layout.classes
    )
    batches = [collect_faults(faults, _read_cifar_records, path, layout) for path in paths]
    if faults:
        raise DataError(faults)
    records = np.concatenate(batches)
    planes = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32)  # red, green, blue
    return Records(
        classes=names,
        labels=records[:, layout.label_bytes - 1].astype(np.int32),
        arrays=np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        files=tuple((path.name, len(batch)) for path, batch in zip(paths, batches, strict=True)),
        notes=_note_missing_batches(paths, layout),
    )


def _note_missing_batches(paths: Sequence[Path], layout: Cifar) -> tuple[str, ...]:
    """A part of the official files is a data set too,
    but an unpacking cut short looks just like it.
    """
    missing = layout.train[len(paths) :] if paths[0].name in layout.train else ()
    return (f"{paths[0].parent}: has no {', '.join(missing)}; training without",) if missing else ()


def _read_cifar_names(path: Path, classes: int) -> tuple[str, ...]:
    if not path.exists():
        return tuple(map(str, range(classes)))
    names = tuple(path.read_text("utf-8", errors="replace").split())
    if len(names) != classes or len(set(names)) != classes:
        raise DataError.one("D006", f"names {len(set(names))} classes, not {classes}", str(path))
    return names


def _read_cifar_records(path: Path, layout: Cifar) -> npt.NDArray[np.uint8]:
    size = path.stat().st_size
    if size == 0 or size % layout.record_bytes or size > MAX_RECORD_BYTES:
        rule = f"a multiple of {layout.record_bytes}, at most {MAX_RECORD_BYTES:,}"
        raise DataError.one(
            "D006", f"has {size:,} bytes, not {rule}: not a whole file of records", str(path)
        )
    records = np.fromfile(path, np.uint8).reshape(-1, layout.record_bytes)
    _check_labels(records[:, layout.label_bytes - 1], layout.classes, path)
    return records


def _check_labels(labels: npt.NDArray[np.uint8], classes: int, path: Path) -> None:
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        text = "record {} has the label {}, not one of 0.." + str(classes - 1)
        raise DataError(
            [Diagnostic("D007", text.format(row, labels[row]), str(path)) for row in wrong]
        )


# ---- MNIST and Fashion-MNIST: idx files, big-endian, perhaps gzipped


def find_mnist(root: Path) -> Parts:
    """Return (images, labels) of each part of which one of the two is there."""
    parts: Parts = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        # Both spellings are about, with a dash as at the source and with a dot as unpacked by some.
        names = []
        for dot in "-.":
            name = f"{prefix}-{{}}{dot}idx{{}}-ubyte"
            names += [name, f"{name}.gz"]
        images = [root / name.format("images", 3) for name in names]
        labels = [root / name.format("labels", 1) for name in names]
        present = [_first_file(images), _first_file(labels)]
        if any(present):
            parts[part] = (present[0] or images[0], present[1] or labels[0])
    return parts


def _first_file(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def read_mnist(paths: Sequence[Path]) -> Records:
    """Return images (N, H, W, 1) of (images, labels).

    Raises DataError (D001, D006, D007), all faults at once.
    """
    faults: list[Diagnostic] = []
    images = collect_faults(faults, _read_idx, paths[0], 3)
    labels = collect_faults(faults, _read_idx, paths[1], 1)
    if labels is not None:
        collect_faults(faults, _check_labels, labels, 10, paths[1])
    if images is not None and labels is not None and len(images) != len(labels):
        faults.append(
            Diagnostic("D006", f"has {len(labels)} labels for {len(images)} images", str(paths[1]))
        )
    if faults:
        raise DataError(faults)
    classes = tuple(map(str, range(10)))
    return Records(
        classes, labels.astype(np.int32), images[..., None], ((paths[0].name, len(images)),)
    )


def _read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array of an idx file; http://yann.lecun.com/exdb/mnist describes the format."""
    open_file: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            return _read_idx_array(file, path, ndim)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError.one("D006", f"is not a whole gzip file: {error}", str(path)) from None


def _read_idx_array(file: IO[bytes], path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    header = file.read(4 + 4 * ndim)
    if header[:4] != bytes((0, 0, 8, ndim)) or len(header) < 4 + 4 * ndim:
        raise DataError.one(
            "D006", f"does not begin as an idx file of {ndim}-dimensional bytes does", str(path)
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    announced = f"announces {' x '.join(map(str, shape))} bytes"
    size = math.prod(shape)
    if not 0 < size <= MAX_RECORD_BYTES:
        raise DataError.one("D006", f"{announced}, not 1 to {MAX_RECORD_BYTES:,}", str(path))
    content = file.read(size + 1)  # one more than it may have, so that a longer file is seen
    if len(content) != size:
        has = "more" if len(content) > size else f"only {len(content):,}"
        raise DataError.one("D006", f"{announced} and holds {has}", str(path))
    return np.frombuffer(content, np.uint8).reshape(shape)
