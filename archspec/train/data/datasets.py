"""What labelled images there are: embedded digits, image folders, tables of files, MindRecord,
CIFAR-10/100 and MNIST files.

Every fault of a data set is reported at once, the first 20 in words. Codes: D001 cannot be read,
D002 unknown layout, D003 a class folder without images, D004 classes differ, D005 an image is not
whole, D006 a record file is not whole, D007 a label out of range, D008 too few images, D011 the
same images in two parts, D012 a table that is wrong, D014 a MindRecord whose columns are not clear,
D015 an image and a mask that are no pair, D016 a mask that holds no class indices.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from archspec.errors import DataError, Diagnostic
from archspec.train.data.class_names import find_class_list, name_classes
from archspec.train.data.image_files import (
    PART_FOLDERS,
    Listing,
    collect_faults,
    find_class_faults,
    find_folder,
    read_folder,
    reason_of,
)
from archspec.train.data.labelled_files import find_tables, is_table, read_labelled_files
from archspec.train.data.mask_folders import LAYOUT as MASKS_LAYOUT
from archspec.train.data.mask_folders import (
    MaskFolder,
    describe_skipped,
    find_mask_folders,
    pair_by_name,
)
from archspec.train.data.masks import look_through
from archspec.train.data.mindrecords import LAYOUT as MINDRECORD_LAYOUT
from archspec.train.data.mindrecords import (
    find_lone_set,
    find_mindrecords,
    is_mindrecord,
    read_mindrecord,
)
from archspec.train.data.overlap import compare_parts
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
from archspec.train.data.source import DataSet, OnError, Source, raise_faults
from archspec.train.data.splitting import split_by_class


def open_data(
    data_dir: Path | None,
    *,
    check: bool = True,
    on_error: OnError | Literal["keep"] = "stop",
    known: Sequence[str] = (),
) -> DataSet:
    """Return the data set in a folder, or the embedded digits where there is no folder.

    Each folder is listed once. With `check` each image is opened once to see whether it is whole,
    unless there are very many, and parts are compared; without, another process has done that.
    Images that are not whole are refused, or left out (`skip`, which looks for them in every
    process) when the data set is split, or kept to be judged later (`DataSet.check_broken`).
    Folders that have the names of `known` classes, those of a run, keep them.
    Raises DataError (D001..D008, D011, D012); of masks D015 and D016 wait (`Source.faults`).
    """
    looks = check or on_error == "skip"
    kind, parts = _open_parts(data_dir, tuple(PART_FOLDERS), check=looks, on_error=on_error)
    train, val, test = parts.get("train", parts.get("all")), parts.get("val"), parts.get("test")
    if train is None:
        raise DataError.one(
            "D002", "holds no training images", str(data_dir), _describe_layout(kind)
        )
    if len(train.classes) < 2 and not train.is_multi_label and kind != MASKS:
        raise DataError.one(
            "D002",
            f"holds one class only: {train.classes[0]!r}",
            str(data_dir),
            _describe_layout(kind),
        )
    if check:
        val, test = _compare_parts(train, val, test)
    data = _name_classes(DataSet(train, val, test, kind), data_dir, known)
    if on_error != "keep":
        data.check_broken(on_error)
    return data


def _name_classes(data: DataSet, data_dir: Path | None, known: Sequence[str]) -> DataSet:
    """Give classes of folders the names that a list beside them says.

    One that fits not is no fault: it may have been meant for something else.
    """
    train = data.train
    if data_dir is None or data.kind not in ("folder", MINDRECORD):
        return data
    if train.classes == tuple(known):  # a run began before the list lay there
        return data
    try:
        found = find_class_list(data_dir)
        return data if found is None else name_classes(data, found)
    except DataError as error:
        note = f"class names are left aside: {error.diagnostics[0]}"
        return replace(data, train=replace(train, notes=(*train.notes, note)))


def _compare_parts(train: Source, *others: Source | None) -> list[Source | None]:
    """Return the parts to choose by and to judge with, and what is to be said of them."""
    found = [compare_parts(train, other) for other in others]
    raise_faults([fault for shared in found for fault in shared.faults])
    told: list[Source | None] = []
    for other, shared in zip(others, found, strict=True):
        told.append(other and replace(other, notes=(*other.notes, *shared.notes)))
    return told


def open_held_out(
    data_dir: Path | None, *, on_error: OnError = "stop", known: Sequence[str] = ()
) -> Source:
    """Return the images to validate with: the test part, else the validation part, else all of a
    folder of class folders; `known` as of `open_data`.

    Raises DataError (D001..D007, D012); of masks D015 and D016 wait (`Source.faults`).
    """
    kind, parts = _open_parts(data_dir, ("test", "val"), on_error=on_error)
    for part in ("test", "val", "all"):
        if part in parts:
            source = parts[part].note_broken().leave_out_broken()
            if not len(source):
                raise DataError.one("D003", "has no image that is whole", source.name)
            return _name_classes(DataSet(source, None, None, kind), data_dir, known).train
    raise DataError.one(
        "D002", "holds no test or validation images", str(data_dir), _describe_layout(kind)
    )


# ---- from what was read to a Source


def _read_digits() -> dict[str, Source]:
    """Return the embedded scans; a fixed fifth of them is the test part."""
    source = _make_source("digits", read_digits())
    train, test = split_by_class(source.labels, 0.2, seed=0)
    return {"train": source.subset(train), "test": source.subset(test)}


def _read_records(
    paths: Sequence[Path], *, check: bool, read: Callable[[Sequence[Path]], Records]
) -> Source:
    found = read(paths)  # a file of records is whole or not, whether or not that is asked
    return _make_source(", ".join(file for file, _ in found.files), found)


def _make_source(name: str, found: Records) -> Source:
    return Source(name, found.classes, found.labels, found.arrays, notes=found.notes)


def _read_folder(listing: Listing, *, check: bool) -> Source:
    found = read_folder(listing, check=check)
    classes = found.classes
    sizes = [len(files) for files in classes.values()]
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), sizes)
    files = tuple(chain.from_iterable(classes.values()))
    root = listing.root
    notes, broken = found.notes(root), found.broken
    return Source(str(root), tuple(classes), labels, files=files, notes=notes, broken=broken)


def _read_masks(folder: MaskFolder, *, check: bool) -> Source:
    faults: list[Diagnostic] = []
    pairs = pair_by_name(folder, faults)
    looked = look_through(pairs, faults) if check else None
    images = tuple(image for image, _ in pairs)
    masks = tuple(mask for _, mask in pairs)
    return Source(
        str(folder.root),
        (),  # until a recipe has named them
        np.zeros(len(pairs), np.int32),
        files=images,
        notes=describe_skipped(folder),
        masks=masks,
        counts=looked.counts if looked else None,
        broken=looked.broken if looked else (),
        faults=tuple(faults),
    )


# ---- the table of kinds


@dataclass(frozen=True)
class _Kind:
    """`find` returns what each part is read from, nothing where the layout is another.

    `read` reads a part: records from their files, a folder of images from its listing.
    """

    name: str
    layout: str
    find: Callable[[Path], Mapping[str, Any]]
    read: Callable[..., Source]


CIFAR10_LAYOUT = "cifar-10-batches-bin/data_batch_1.bin..5 and test_batch.bin"
CIFAR100_LAYOUT = "cifar-100-binary/train.bin and test.bin"
MNIST_LAYOUT = (
    "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each perhaps with .gz"
)
FOLDER_LAYOUT = "train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg"
TABLE_LAYOUT = "FILE.csv or FILE.jsonl of files and labels, or train.csv and val.csv in a folder"
MASKS, MINDRECORD = "masks", "mindrecord"
# A folder comes behind others: class folders may lie beside the files of another kind, and images
# and masks would be taken for two classes. Only behind it is a folder listed for a set of any name.
KINDS = (
    _Kind(
        "cifar10",
        CIFAR10_LAYOUT,
        partial(find_cifar, layout=CIFAR10),
        partial(_read_records, read=partial(read_cifar, layout=CIFAR10)),
    ),
    _Kind(
        "cifar100",
        CIFAR100_LAYOUT,
        partial(find_cifar, layout=CIFAR100),
        partial(_read_records, read=partial(read_cifar, layout=CIFAR100)),
    ),
    _Kind("mnist", MNIST_LAYOUT, find_mnist, partial(_read_records, read=read_mnist)),
    _Kind(MINDRECORD, MINDRECORD_LAYOUT, find_mindrecords, read_mindrecord),
    _Kind("table", TABLE_LAYOUT, find_tables, read_labelled_files),
    _Kind(MASKS, MASKS_LAYOUT, find_mask_folders, _read_masks),
    _Kind("folder", FOLDER_LAYOUT, find_folder, _read_folder),
    _Kind(MINDRECORD, MINDRECORD_LAYOUT, find_lone_set, read_mindrecord),
)


def _describe_layout(name: str) -> str:
    return "expected: " + next((kind.layout for kind in KINDS if kind.name == name), name)


def _open_parts(
    data_dir: Path | None, wanted: Iterable[str], *, check: bool = True, on_error: str = "stop"
) -> tuple[str, Mapping[str, Source]]:
    """Return the kind of the data set and those of the wanted parts that it has;
    `all` is always wanted.
    """
    if data_dir is None:
        return "digits", _read_digits()
    return _read_parts(data_dir, wanted, check, on_error)


def _read_parts(
    root: Path, wanted: Iterable[str], check: bool, on_error: str
) -> tuple[str, Mapping[str, Source]]:
    try:
        kind, found = _find_layout(root)
    except OSError as error:
        place = str(error.filename or root)
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", place) from None
    parts = {part: place for part, place in found.items() if part in (*wanted, "all")}
    faults: list[Diagnostic] = []
    if kind.name == "folder" and parts:
        faults.extend(find_class_faults(tuple(parts.values())))
    read = partial(kind.read, check=check)
    sources = {part: collect_faults(faults, read, place) for part, place in parts.items()}
    if faults or on_error == "stop":
        read_parts = [source for source in sources.values() if source is not None]
        faults += [fault for source in read_parts for _, fault in source.broken]
    raise_faults(faults)
    return kind.name, sources


def is_in_one(root: Path) -> bool:
    """Return whether a data set lies in one folder, table or file that is of no part.

    Raises DataError, OSError.
    """
    return "all" in _find_layout(root)[1]


def identify_data(root: Path) -> str:
    """Return the kind of data set in a folder, or of a table: a name of `KINDS`.

    Raises DataError.
    """
    try:
        return _find_layout(root)[0].name
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {error.strerror}", str(root)) from None


def check_has_masks(root: Path, network: str) -> None:
    """Raise DataError (D002) where there are no images and masks in a folder, from which alone a
    network of this name learns.
    """
    with suppress(OSError):  # of which it is said elsewhere
        if not root.exists() or (root.is_dir() and find_mask_folders(root)):
            return
        rule = f"holds no images with masks, from which {network} learns a class for each pixel"
        raise DataError.one("D002", rule, str(root), _describe_layout(MASKS))


def _find_layout(root: Path) -> tuple[_Kind, Mapping[str, Any]]:
    if not root.exists():
        raise DataError.one("D001", "does not exist", str(root))
    if root.is_file() and (is_table(root) or is_mindrecord(root)):
        name = "table" if is_table(root) else MINDRECORD
        return next((kind, kind.find(root)) for kind in KINDS if kind.name == name)
    if not root.is_dir():
        hint = "an archive has to be unpacked; a file is .csv, .jsonl or .mindrecord"
        raise DataError.one("D001", "is a file, not a folder", str(root), hint)
    os.scandir(root).close()  # one that may not be read is a fault, of whatever kind it is
    for kind in KINDS:
        parts = kind.find(root)
        if parts:
            return kind, parts
    layouts = "; ".join(dict.fromkeys(f"{kind.name}: {kind.layout}" for kind in KINDS))
    raise DataError.one(
        "D002", "holds no data set of a known layout", str(root), f"looked for {layouts}"
    )
