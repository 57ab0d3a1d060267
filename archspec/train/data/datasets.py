"""Opens a data set, whatever its layout (`kinds`): embedded digits, image folders, tables of
files, MindRecord, CIFAR-10/100 and MNIST files.

Every fault of a data set is reported at once, the first 20 in words. Codes: D001 cannot be read,
D002 unknown layout, D003 a class folder without images, D004 classes differ, D005 an image is not
whole, D006 a record file is not whole, D007 a label out of range, D008 too few images, D011 the
same images in two parts, D012 a table that is wrong, D014 a MindRecord whose columns are not clear,
D015 an image and a mask that are no pair, D016 a mask that holds no class indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from archspec.errors import DataError, Diagnostic
from archspec.train.data.images.image_files import (
    PART_FOLDERS,
    collect_faults,
    find_class_faults,
    reason_of,
)
from archspec.train.data.kinds import MASKS, MINDRECORD, describe_layout, find_layout, open_digits
from archspec.train.data.sources.class_names import find_class_list, name_classes
from archspec.train.data.sources.data_parts import DataSet
from archspec.train.data.sources.overlap import compare_parts
from archspec.train.data.sources.source import OnError, Source, raise_faults


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
            "D002", "holds no training images", str(data_dir), describe_layout(kind)
        )
    if len(train.classes) < 2 and not train.is_multi_label and kind != MASKS:
        raise DataError.one(
            "D002",
            f"holds one class only: {train.classes[0]!r}",
            str(data_dir),
            describe_layout(kind),
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
    part = next((name for name in ("test", "val", "all") if name in parts), None)
    if part is None:
        raise DataError.one(
            "D002", "holds no test or validation images", str(data_dir), describe_layout(kind)
        )
    source = parts[part].note_broken().leave_out_broken()
    if not len(source):
        raise DataError.one("D003", "has no image that is whole", source.name)
    return _name_classes(DataSet(source, None, None, kind), data_dir, known).train


def _open_parts(
    data_dir: Path | None, wanted: Iterable[str], *, check: bool = True, on_error: str = "stop"
) -> tuple[str, Mapping[str, Source]]:
    """Return the kind of the data set and those of the wanted parts that it has;
    `all` is always wanted.
    """
    if data_dir is None:
        return "digits", open_digits()
    return _read_parts(data_dir, wanted, check, on_error)


def _read_parts(
    root: Path, wanted: Iterable[str], check: bool, on_error: str
) -> tuple[str, Mapping[str, Source]]:
    try:
        kind, found = find_layout(root)
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
