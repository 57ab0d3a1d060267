"""Packs image files into MindRecord files, byte for byte."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from archspec.errors import ArchspecError, DataError, Diagnostic
from archspec.runtime import prepare
from archspec.train.data.datasets import open_data
from archspec.train.data.formats.mindrecord_files import MAX_PAGE
from archspec.train.data.formats.mindrecord_writer import (
    BYTES_BESIDE_IMAGE,
    Broken,
    Target,
    check_room,
    describe_failure,
    write_set,
)
from archspec.train.data.formats.mindrecords import SUFFIX
from archspec.train.data.images.image_files import size_of
from archspec.train.data.kinds import is_in_one
from archspec.train.data.sources.source import OnError, Source, raise_faults

KINDS = ("folder", "table", "mindrecord")
"""Of data sets that can be packed."""
Show = Callable[[int, int], None]


@dataclass(frozen=True)
class Packed:
    """What was written: images by part, and how many classes; `notes`, each a line, and what was
    left out.
    """

    images: Mapping[str, int]
    classes: int
    notes: tuple[str, ...]
    left_out: tuple[Diagnostic, ...]


def pack_data(
    data_dir: Path,
    out: Path,
    *,
    shards: int = 1,
    on_error: OnError = "stop",
    show: Show = lambda done, total: None,
) -> Packed:
    """Write a folder with a MindRecord set of each part of a data set of image files, whose bytes
    stay as they are: `train.mindrecord` and `val.mindrecord`, or `all.mindrecord` where no part is
    set apart. It is there whole or not at all.

    Args:
        data_dir: class folders, a table of files, or another such folder.
        out: the folder; it may not exist, or be empty.
        shards: the files that each set is spread over, at most one an image.
        on_error: what becomes of images that are not whole; all are looked at.
        show: is called with the number of images that are done, and of all.

    Raises:
        ArchspecError: W002, it cannot be written, or exists.
        DataError: as of `open_data`; D002, no image files; D014, an image too large for a
            MindRecord; D001, D005, images that are not whole, all at once; D003, a class of a
            part that has no others.
    """
    out = Path(os.path.abspath(out))
    _check_target(out, data_dir)
    parts = _open_parts(data_dir)
    sizes = {}
    for name, part in parts.items():
        sizes[name] = list(map(size_of, part.files))
    _check_sizes(parts, sizes, out)
    prepare()
    import mindspore.mindrecord  # noqa: F401  before there is anything to take away

    show(0, sum(map(len, parts.values())))
    with _new_folder(out) as folder:
        targets = {}
        for name in parts:
            file, root = f"{name}{SUFFIX}", _root_of(data_dir)
            targets[name] = Target(folder / file, out / file, shards, sizes[name], root)
        broken = _write_sets(targets, parts, on_error, show)
        left_out = [fault for _, fault in chain.from_iterable(broken.values())]
        raise_faults(left_out if on_error == "stop" else list(_find_lost_classes(parts, broken)))
    notes = chain.from_iterable(part.notes for part in parts.values())
    images = {name: len(part) - len(broken[name]) for name, part in parts.items()}
    classes = next(iter(parts.values())).classes
    return Packed(images, len(classes), tuple(dict.fromkeys(notes)), tuple(left_out))


def _open_parts(data_dir: Path) -> dict[str, Source]:
    """The parts by the names of their files, that to learn from first."""
    data = open_data(data_dir, check=False, on_error="keep")
    if data.kind not in KINDS:
        message = f"is a data set of kind {data.kind}; image folders and tables of files are packed"
        raise DataError.one("D002", message, str(data_dir))
    first = "all" if is_in_one(data_dir) else "train"
    named = {first: data.train, "val": data.val, "test": data.test}
    return {name: part for name, part in named.items() if part is not None}


def _root_of(data_dir: Path) -> Path:
    return data_dir.parent if data_dir.is_file() else data_dir


def _write_sets(
    targets: Mapping[str, Target], parts: Mapping[str, Source], on_error: OnError, show: Show
) -> dict[str, Broken]:
    """Write the set of each part; return the images of each that are not whole."""
    done, total = 0, sum(map(len, parts.values()))
    broken: dict[str, Broken] = {}
    for name, part in parts.items():
        broken[name] = write_set(targets[name], part, on_error, _shift(show, done, total))
        done += len(part)
    return broken


def _shift(show: Show, done: int, total: int) -> Callable[[int], None]:
    return lambda count: show(done + count, total)


def _find_lost_classes(
    parts: Mapping[str, Source], broken: Mapping[str, Broken]
) -> Iterator[Diagnostic]:
    """Classes of a part that would have no image any more."""
    for name, part in parts.items():
        left_out = {index for index, _ in broken[name]}
        kept = part.subset([index for index in range(len(part)) if index not in left_out])
        counts = zip(part.classes, part.count_labels(), kept.count_labels(), strict=True)
        lost = [class_name for class_name, had, has in counts if had and not has]
        for class_name in lost:
            message = f"class {class_name!r} has no image that is whole"
            yield Diagnostic("D003", message, part.name)


# ---- what is looked at before anything is written


def _check_target(out: Path, data_dir: Path) -> None:
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise ArchspecError.one(
            "W002", "exists, and is not overwritten", str(out), "-o names another folder"
        )
    if str(out).encode("utf-8", "replace") != os.fsencode(out):
        message = "is no UTF-8, and MindSpore writes to no such path"
        raise ArchspecError.one("W002", message, str(out), "-o names another folder")
    if data_dir.is_dir() and out.resolve().is_relative_to(data_dir.resolve()):
        message = "lies in the data set's folder, which would take it for a class"
        raise ArchspecError.one("W002", message, str(out), "-o names another folder")


def _check_sizes(
    parts: Mapping[str, Source], sizes: Mapping[str, Sequence[int]], out: Path
) -> None:
    limit = MAX_PAGE - BYTES_BESIDE_IMAGE
    rule = f"which is more than the {MAX_PAGE:,} that a MindRecord holds in a row"
    faults = []
    for name, part in parts.items():
        too_large = [(index, size) for index, size in enumerate(sizes[name]) if size > limit]
        for index, size in too_large:
            message = f"has {size:,} bytes, {rule}"
            faults.append(Diagnostic("D014", message, part.name_of(index)))
    raise_faults(faults)
    check_room(out, sum(map(sum, sizes.values())))


# ---- a folder that is there whole or not at all


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that gets its name when all that it holds is written; else it is taken away."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise describe_failure(out, error) from None
    try:
        yield partial
        _publish(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _publish(partial: Path, out: Path) -> None:
    try:
        mode = partial.stat().st_mode & 0o666
        for file in partial.iterdir():
            file.chmod(mode)  # MindSpore lets nobody else read them
            with file.open("rb") as written:
                os.fsync(written.fileno())
        os.rename(partial, out)
    except OSError as error:
        raise describe_failure(out, error) from None
