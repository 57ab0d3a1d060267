"""Which kind of data set lies in a folder, by its layout, and how a part of each is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from archspec.errors import DataError, Diagnostic
from archspec.train.data.formats.labelled_files import find_tables, is_table, read_labelled_files
from archspec.train.data.formats.mask_folders import LAYOUT as MASKS_LAYOUT
from archspec.train.data.formats.mask_folders import (
    MaskFolder,
    describe_skipped,
    find_mask_folders,
    pair_by_name,
)
from archspec.train.data.formats.mindrecords import LAYOUT as MINDRECORD_LAYOUT
from archspec.train.data.formats.mindrecords import (
    find_lone_set,
    find_mindrecords,
    is_mindrecord,
    read_mindrecord,
)
from archspec.train.data.formats.record_files import (
    CIFAR10,
    CIFAR100,
    Records,
    find_cifar,
    find_mnist,
    read_cifar,
    read_digits,
    read_mnist,
)
from archspec.train.data.images.image_files import (
    Listing,
    find_folder,
    read_folder,
)
from archspec.train.data.sources.masks import look_through
from archspec.train.data.sources.source import Source
from archspec.train.data.sources.splitting import split_by_class


def open_digits() -> dict[str, Source]:
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
class Kind:
    """A kind of data set: `find` returns what each part is read from, nothing where the layout is
    another.

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
    Kind(
        "cifar10",
        CIFAR10_LAYOUT,
        partial(find_cifar, layout=CIFAR10),
        partial(_read_records, read=partial(read_cifar, layout=CIFAR10)),
    ),
    Kind(
        "cifar100",
        CIFAR100_LAYOUT,
        partial(find_cifar, layout=CIFAR100),
        partial(_read_records, read=partial(read_cifar, layout=CIFAR100)),
    ),
    Kind("mnist", MNIST_LAYOUT, find_mnist, partial(_read_records, read=read_mnist)),
    Kind(MINDRECORD, MINDRECORD_LAYOUT, find_mindrecords, read_mindrecord),
    Kind("table", TABLE_LAYOUT, find_tables, read_labelled_files),
    Kind(MASKS, MASKS_LAYOUT, find_mask_folders, _read_masks),
    Kind("folder", FOLDER_LAYOUT, find_folder, _read_folder),
    Kind(MINDRECORD, MINDRECORD_LAYOUT, find_lone_set, read_mindrecord),
)


def describe_layout(name: str) -> str:
    """Return what a folder of a kind should hold, as a hint."""
    return "expected: " + next((kind.layout for kind in KINDS if kind.name == name), name)


def is_in_one(root: Path) -> bool:
    """Return whether a data set lies in one folder, table or file that is of no part.

    Raises DataError, OSError.
    """
    return "all" in find_layout(root)[1]


def identify_data(root: Path) -> str:
    """Return the kind of data set in a folder, or of a table: a name of `KINDS`.

    Raises DataError.
    """
    try:
        return find_layout(root)[0].name
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
        raise DataError.one("D002", rule, str(root), describe_layout(MASKS))


def find_layout(root: Path) -> tuple[Kind, Mapping[str, Any]]:
    """Return the kind of a data set, and what each of its parts is read from.

    Raises DataError (D001, D002), OSError.
    """
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
