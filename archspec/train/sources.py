"""What labelled images there are: embedded digits, image folders, CIFAR-10/100 and MNIST files.

Every fault of a data set is reported at once, the first 20 in words. Codes: D001 cannot be read, D002 unknown
layout, D003 a class folder without images, D004 classes differ, D005 an image is not whole, D006 a record
file is not whole, D007 a label out of range, D008 too few images.
"""

from __future__ import annotations

import gzip
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from archspec.errors import ArchspecError, DataError, Diagnostic

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # Pillow would also run Ghostscript on a file named .jpg
# Pillow verifies a WebP file's length when it opens it; a format without a mark is decoded to be sure.
END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "WEBP": b""}
TAIL_BYTES = 64
MAX_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte; Pillow only warns there
MAX_CHECKED = 20_000  # about two seconds; a larger set meets its faults while it is read
MAX_FAULTS = 20
MAX_RECORD_BYTES = 1 << 30
Parts = dict[str, tuple[Path, ...]]  # the paths of "train", "val", "test", or "all"
PART_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images, each reachable by its number: `arrays` (N, H, W, C) uint8 or else `files`, N of them.

    `labels` (N,) int32 count `classes`; `rows` and `records` (file, images) tell where an array came from.
    """

    name: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    arrays: npt.NDArray[np.uint8] | None = None
    files: tuple[Path, ...] = ()
    rows: npt.NDArray[np.int64] | None = None
    records: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Source:
        """Return the images with these numbers, in this order."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            labels=self.labels[chosen],
            arrays=None if self.arrays is None else self.arrays[chosen],
            files=tuple(self.files[i] for i in chosen) if self.files else (),
            rows=chosen if self.rows is None else self.rows[chosen],
        )

    def describe(self, index: int) -> str:
        """Return the image's file, or the file and the number (from 0) of its record."""
        if self.files:
            return str(self.files[index])
        row = int(index if self.rows is None else self.rows[index])
        for file, count in self.records:
            if row < count:
                return f"{file} record {row}"
            row -= count
        return f"{self.name} record {row}"

    def image(self, index: int, channels: int) -> Image.Image:
        """Return one image, decoded, in grey (channels 1) or RGB (3). Raises DataError (D001, D005)."""
        if self.arrays is None:
            return read_image(self.files[index], channels)
        from PIL import Image

        pixels = self.arrays[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return image if channels == pixels.shape[2] else image.convert("L" if channels == 1 else "RGB")


@dataclass(frozen=True, eq=False)
class Splits:
    """Images to learn from, to choose by, and to judge with (`test`, None where there are none)."""

    train: Source
    val: Source
    test: Source | None
    classes: tuple[str, ...]
    kind: str


def open_splits(data_dir: Path | None, *, val_fraction: float = 0.1, seed: int = 0) -> Splits:
    """Return the parts of the data set in a folder, or of the embedded digits where there is no folder.

    Where no validation images are set apart, each class gives `val_fraction` of its training images for them;
    test images are never used so, since validation chooses the checkpoint. Raises DataError (D001..D008).
    """
    if not 0 < val_fraction < 1:
        raise DataError.one("D008", f"val_fraction (={val_fraction}) must be between 0 and 1")
    kind, parts = ("digits", _digits()) if data_dir is None else _read_parts(data_dir, tuple(PART_FOLDERS))
    train = parts.get("train", parts.get("all"))
    if train is None:
        raise DataError.one("D002", "holds no training images", str(data_dir), _layout(kind))
    if len(train.classes) < 2:
        raise DataError.one(
            "D002", f"holds one class only: {train.classes[0]!r}", str(data_dir), _layout(kind)
        )
    val = parts.get("val")
    if val is None:
        kept, held_out = stratified(train.labels, val_fraction, seed)
        if not held_out.size:
            raise DataError.one("D008", "holds too few images to split: one of each class", train.name)
        train, val = train.subset(kept), train.subset(held_out)
    return Splits(train, val, parts.get("test"), train.classes, kind)


def open_held_out(data_dir: Path | None) -> Source:
    """Return the images to validate with: the test part, else the validation part, else all of a folder of
    class folders.

    Raises DataError (D001..D007).
    """
    kind, parts = ("digits", _digits()) if data_dir is None else _read_parts(data_dir, ("test", "val"))
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


def read_image(path: Path, channels: int) -> Image.Image:
    """Return an image file decoded in grey (channels 1) or RGB (3), without alpha, as it lies in the file.

    Raises DataError (D001, D005) naming the file.
    """
    return cast("Image.Image", _with_image(path, partial(_decoded, channels=channels)))


def _decoded(image: Image.Image, _: IO[bytes], channels: int) -> Image.Image:
    from PIL import Image

    image.info.pop("transparency", None)  # Pillow warns when it drops this itself
    if image.mode.startswith("I"):  # 16 bits: convert() would clip to 255 instead of scaling
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L" if channels == 1 else "RGB")


def _with_image(path: Path, use: Callable[[Image.Image, IO[bytes]], Any]) -> Any:
    """Call `use` on the opened image; Pillow's readers raise almost anything on a broken file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with path.open("rb") as file, Image.open(file, formats=IMAGE_FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return use(image, file)
            reason = f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
    except UnidentifiedImageError:
        reason = "is not a whole JPEG, PNG, BMP or WebP image"
    except Exception as error:
        code = "D001" if isinstance(error, OSError) and error.errno else "D005"
        raise DataError.one(code, f"cannot be read: {_reason(error)}", str(path)) from None
    raise DataError.one("D005", reason, str(path))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _check_end(image: Image.Image, file: IO[bytes]) -> None:
    """Look for the format's end mark, much cheaper than decoding; decode where it stands elsewhere."""
    place = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
    tail = file.read()
    file.seek(place)
    mark = END_MARKS.get(image.format or "")
    if mark is None or mark not in tail:
        image.load()


def _check_images(files: Sequence[Path], faults: list[Diagnostic]) -> None:
    if len(files) > MAX_CHECKED:
        return
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of too many pixels and of odd metadata: what matters is an error here
        for file in files:
            _collect(faults, _with_image, file, _check_end)


def _collect(faults: list[Diagnostic], read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `read` returns, or add its faults and return None."""
    try:
        return read(*arguments)
    except ArchspecError as error:
        faults.extend(error.diagnostics)
    except OSError as error:
        faults.append(
            Diagnostic("D001", f"cannot be read: {_reason(error)}", str(error.filename or arguments[0]))
        )
    return None


# ---- embedded digits


def _digits() -> dict[str, Source]:
    """Return scikit-learn's 1,797 scans of 8 x 8 pixels; a fixed fifth of them is the test part."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    source = Source(
        name="digits",
        classes=tuple(map(str, scans.target_names)),
        labels=scans.target.astype(np.int32),
        arrays=np.rint(scans.images * (255 / 16)).astype(np.uint8)[..., None],
        records=(("scikit-learn digits", len(scans.target)),),
    )
    train, test = stratified(source.labels, 0.2, seed=0)
    return {"train": source.subset(train), "test": source.subset(test)}


# ---- image folders


def _find_folder(root: Path) -> Parts:
    parts: Parts = {
        part: (root / name,)
        for part, names in PART_FOLDERS.items()
        for name in names
        if (root / name).is_dir() and not _image_entries(root / name)  # with images in it, it is a class
    }
    if parts:
        return parts
    return {"all": (root,)} if _class_folders(root) else {}


def _read_folder(paths: Sequence[Path]) -> Source:
    root = paths[0]
    faults: list[Diagnostic] = []
    folders = _class_folders(root)
    if not folders:
        faults.append(Diagnostic("D003", "holds no class folders", str(root)))
    found = [_collect(faults, _class_images, folder) or () for folder in folders]
    files = tuple(file for group in found for file in group)
    _check_images(files, faults)
    if faults:
        raise DataError(faults)
    labels = np.repeat(np.arange(len(folders), dtype=np.int32), [len(group) for group in found])
    return Source(str(root), tuple(folder.name for folder in folders), labels, files=files)


def _class_folders(root: Path) -> list[Path]:
    with os.scandir(root) as entries:
        return sorted(root / entry.name for entry in entries if _shown(entry) and entry.is_dir())


def _image_entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if _shown(entry) and entry.name.lower().endswith(IMAGE_SUFFIXES) and _is_file(entry)
        )


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() or (
        entry.is_symlink() and not entry.is_dir()
    )  # a broken link is a fault, a pipe none


def _shown(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")  # .DS_Store, ._001.jpg, .ipynb_checkpoints


def _class_images(folder: Path) -> list[Path]:
    files = [folder / name for name in _image_entries(folder)]
    if files:
        return files
    what = "holds no image" if any(folder.iterdir()) else "is an empty class folder"
    hint = f"images end in {', '.join(IMAGE_SUFFIXES)} and stand directly in their class's folder"
    raise DataError.one("D003", what, str(folder), hint)


def _class_faults(roots: Sequence[Path]) -> list[Diagnostic]:
    """Compare the class folders of each part with those of the first, which is `train` if there is one."""
    names = {root: {folder.name for folder in _class_folders(root)} for root in roots}
    first = roots[0]
    pairs = [(first, other) for other in roots[1:]] + [(other, first) for other in roots[1:]]
    return [
        Diagnostic("D004", f"lacks the class {name!r} of {other}", str(root))
        for root, other in pairs
        for name in sorted(names[other] - names[root])
    ]


# ---- CIFAR: records of one or two label bytes, then planes of red, green and blue


@dataclass(frozen=True)
class _Cifar:
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int  # the last of them is the label
    classes: int

    @property
    def record_bytes(self) -> int:
        return self.label_bytes + 3 * 32 * 32


BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10 = _Cifar("cifar-10-batches-bin", BATCHES, "test_batch.bin", "batches.meta.txt", 1, 10)
CIFAR100 = _Cifar("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 2, 100)


def _find_cifar(root: Path, *, layout: _Cifar) -> Parts:
    for place in (root, root / layout.folder):
        present = [i for i, name in enumerate(layout.train) if (place / name).is_file()]
        upto = max(present, default=-1) + 1  # a batch that is missing between others is a fault
        train = tuple(place / name for name in layout.train[:upto])
        test = (place / layout.test,) if (place / layout.test).is_file() else ()
        found = {part: paths for part, paths in (("train", train), ("test", test)) if paths}
        if found:
            return found
    return {}


def _read_cifar(paths: Sequence[Path], *, layout: _Cifar) -> Source:
    faults: list[Diagnostic] = []
    names = _collect(faults, _cifar_names, paths[0].parent / layout.names, layout.classes)
    batches = [_collect(faults, _cifar_records, path, layout) for path in paths]
    if faults:
        raise DataError(faults)
    records = np.concatenate(batches)
    planes = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    return Source(
        name=", ".join(path.name for path in paths),
        classes=names,
        labels=records[:, layout.label_bytes - 1].astype(np.int32),
        arrays=np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        records=tuple((path.name, len(batch)) for path, batch in zip(paths, batches, strict=True)),
    )


def _cifar_names(path: Path, classes: int) -> tuple[str, ...]:
    if not path.exists():
        return tuple(map(str, range(classes)))
    names = tuple(path.read_text("utf-8", errors="replace").split())
    if len(names) != classes or len(set(names)) != classes:
        raise DataError.one("D006", f"names {len(set(names))} classes, not {classes}", str(path))
    return names


def _cifar_records(path: Path, layout: _Cifar) -> npt.NDArray[np.uint8]:
    size = path.stat().st_size
    if size == 0 or size % layout.record_bytes or size > MAX_RECORD_BYTES:
        rule = f"a multiple of {layout.record_bytes}, at most {MAX_RECORD_BYTES:,}"
        raise DataError.one("D006", f"has {size:,} bytes, not {rule}: not a whole file of records", str(path))
    records = np.fromfile(path, np.uint8).reshape(-1, layout.record_bytes)
    _check_labels(records[:, layout.label_bytes - 1], layout.classes, path)
    return records


def _check_labels(labels: npt.NDArray[np.uint8], classes: int, path: Path) -> None:
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        text = "record {} has the label {}, not one of 0.." + str(classes - 1)
        raise DataError([Diagnostic("D007", text.format(row, labels[row]), str(path)) for row in wrong])


# ---- MNIST and Fashion-MNIST: idx files, big-endian, perhaps gzipped


def _find_mnist(root: Path) -> Parts:
    parts: Parts = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        names = [f"{prefix}-{{}}{dot}idx{{}}-ubyte{zipped}" for dot in "-." for zipped in ("", ".gz")]
        images = [root / name.format("images", 3) for name in names]
        labels = [root / name.format("labels", 1) for name in names]
        present = [next((path for path in paths if path.is_file()), None) for paths in (images, labels)]
        if any(present):
            parts[part] = (present[0] or images[0], present[1] or labels[0])
    return parts


def _read_mnist(paths: Sequence[Path]) -> Source:
    faults: list[Diagnostic] = []
    images, labels = (_collect(faults, _idx, path, ndim) for path, ndim in zip(paths, (3, 1), strict=True))
    if labels is not None:
        _collect(faults, _check_labels, labels, 10, paths[1])
    if images is not None and labels is not None and len(images) != len(labels):
        faults.append(Diagnostic("D006", f"has {len(labels)} labels for {len(images)} images", str(paths[1])))
    if faults:
        raise DataError(faults)
    file = paths[0].name
    classes = tuple(map(str, range(10)))
    return Source(file, classes, labels.astype(np.int32), images[..., None], records=((file, len(images)),))


def _idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array of an idx file; http://yann.lecun.com/exdb/mnist describes the format."""
    open_file: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            return _idx_array(file, path, ndim)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError.one("D006", f"is not a whole gzip file: {error}", str(path)) from None


def _idx_array(file: IO[bytes], path: Path, ndim: int) -> npt.NDArray[np.uint8]:
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
    content = file.read(size + 1)
    if len(content) != size:
        has = "more" if len(content) > size else f"only {len(content):,}"
        raise DataError.one("D006", f"{announced} and holds {has}", str(path))
    return np.frombuffer(content, np.uint8).reshape(shape)


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
MNIST_LAYOUT = "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each perhaps with .gz"
FOLDER_LAYOUT = "train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg"
KINDS = (
    _Kind(
        "cifar10", CIFAR10_LAYOUT, partial(_find_cifar, layout=CIFAR10), partial(_read_cifar, layout=CIFAR10)
    ),
    _Kind(
        "cifar100",
        CIFAR100_LAYOUT,
        partial(_find_cifar, layout=CIFAR100),
        partial(_read_cifar, layout=CIFAR100),
    ),
    _Kind("mnist", MNIST_LAYOUT, _find_mnist, _read_mnist),
    _Kind("folder", FOLDER_LAYOUT, _find_folder, _read_folder),
)


def _layout(name: str) -> str:
    return "expected: " + next((kind.layout for kind in KINDS if kind.name == name), name)


def _read_parts(root: Path, wanted: Iterable[str]) -> tuple[str, dict[str, Source]]:
    """Return the kind of the data set and those of the wanted parts that it has; `all` is always wanted."""
    try:
        kind, found = _find(root)
    except OSError as error:
        place = str(error.filename or root)
        raise DataError.one("D001", f"cannot be read: {_reason(error)}", place) from None
    parts = {part: paths for part, paths in found.items() if part in (*wanted, "all")}
    faults: list[Diagnostic] = []
    if kind.name == "folder" and parts:
        roots = [paths[0] for paths in parts.values()]
        faults.extend(_collect(faults, _class_faults, roots) or ())
    sources = {part: _collect(faults, kind.read, paths) for part, paths in parts.items()}
    raise_faults(faults)
    return kind.name, sources


def _find(root: Path) -> tuple[_Kind, Parts]:
    if not root.exists():
        raise DataError.one("D001", "does not exist", str(root))
    if not root.is_dir():
        raise DataError.one("D001", "is a file, not a folder", str(root), "an archive has to be unpacked")
    os.scandir(root).close()  # glob takes a folder that it may not read for an empty one
    for kind in KINDS:
        parts = kind.find(root)
        if parts:
            return kind, parts
    layouts = "; ".join(f"{kind.name}: {kind.layout}" for kind in KINDS)
    raise DataError.one("D002", "holds no data set of a known layout", str(root), f"looked for {layouts}")
