"""Writes images into the files of a MindRecord set, byte for byte."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from archspec.errors import ArchspecError, Diagnostic
from archspec.train.data.formats.mindrecord_files import MAX_HEADER
from archspec.train.data.formats.mindrecord_set import (
    FILE,
    IMAGE,
    LABEL,
    LABELS,
    MADE_BY,
    NUMBER,
    Description,
    digest_rows,
    read_set,
)
from archspec.train.data.images.image_files import (
    ImageFile,
    check_end,
    collect_faults,
    ignore_warnings,
    reason_of,
    with_image,
)
from archspec.train.data.images.record_image import LENGTH_BYTES, RecordImage
from archspec.train.data.sources.source import OnError, Source

if TYPE_CHECKING:
    from PIL import Image

BATCH_IMAGES, BATCH_BYTES = 64, 1 << 26
"""What is handed to MindSpore at once, for each file and for all."""
MIN_PAGE, USUAL_PAGE = 1 << 20, 1 << 25
MIN_HEADER = 1 << 16
BYTES_BESIDE_IMAGE = 1 << 10
"""Of a row: its length, and room to spare."""
SPARE_BYTES = 1 << 24
"""MindSpore writes to no disk with less than 10 MB left."""
DIGEST_BYTES = 32
BYTES_OF_PAGE = 1 << 9
"""What the header says of one."""
Broken = tuple[tuple[int, Diagnostic], ...]


@dataclass(frozen=True)
class Target:
    """A set that is written."""

    path: Path
    """From which MindSpore makes the names of its files."""
    final: Path
    """Where it will lie when it is whole."""
    shards: int
    """How many files it may have."""
    sizes: Sequence[int]
    """The bytes of each image."""
    root: Path
    """The folder that images are named from."""

    @property
    def files(self) -> int:
        """How many files it has."""
        return max(1, min(self.shards, len(self.sizes)))

    def list_files(self) -> list[Path]:
        """Return its files, as MindSpore calls them."""
        if self.files == 1:
            return [self.path]
        digits = len(str(self.files - 1))
        names = [f"{self.path.name}{number:0{digits}}" for number in range(self.files)]
        return [self.path.with_name(name) for name in names]

    @property
    def page_size(self) -> int:
        """The smallest power of two that holds the largest image, and all where they are few."""
        rows = [size + BYTES_BESIDE_IMAGE for size in self.sizes]
        wanted = max(max(rows), min(USUAL_PAGE, sum(rows) // self.files))
        return max(MIN_PAGE, _round_up(wanted))

    def header_size(self, description: str) -> int:
        """Enough for what is said of the set, of its pages and of each batch."""
        pages = 2 * (sum(self.sizes) // self.page_size // self.files + 1)
        batches = len(self.sizes) // BATCH_IMAGES + sum(self.sizes) // BATCH_BYTES
        wanted = 2 * len(description.encode()) + BYTES_OF_PAGE * (pages + batches + self.files)
        return min(MAX_HEADER, _round_up(MIN_HEADER + wanted))


def _round_up(number: int) -> int:
    return 1 << (number - 1).bit_length()


def write_set(
    target: Target, source: Source, on_error: OnError, show: Callable[[int], None]
) -> Broken:
    """Write a set, read its index back, and return the images that are not whole and so left out.

    Raises ArchspecError (W002), DataError (D006).
    """
    broken: list[tuple[int, Diagnostic]] = []
    columns: dict[str, list[Any]] = {FILE: [], IMAGE: [], _label_column(source): []}
    stand_in = secrets.token_hex(DIGEST_BYTES)  # the digest is known at the end
    writer = None
    for batch in _read_batches(source, target, broken, show):
        _add_rows(columns, batch)
        # What will be refused need not be written; the rest is looked at all the same.
        if not broken or on_error == "skip":
            check_room(target.final, sum(len(row[IMAGE]) for row in batch))
            with _naming_faults(target.final):
                writer = writer or _open_writer(target, source, stand_in)
                writer.write_raw_data(batch)
    if writer is not None and (not broken or on_error == "skip"):
        with _naming_faults(target.final):
            writer.commit()
            _put_digest(target, stand_in, digest_rows(source.classes, *columns.values()))
        read_set(target.list_files()[0])
    return tuple(broken)


def _add_rows(columns: Mapping[str, list[Any]], batch: Iterable[Mapping[str, Any]]) -> None:
    """Note what the digest is made of: of images their sizes."""
    for row in batch:
        columns[IMAGE].append(len(row[IMAGE]))
        for name in columns.keys() - {IMAGE}:
            columns[name].append(row[name])


def _put_digest(target: Target, stand_in: str, digest: str) -> None:
    """Have the header of each file say the digest; it is as long as what stands there."""
    for path in target.list_files():
        with path.open("r+b") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            place = LENGTH_BYTES + file.read(length).index(stand_in.encode())
            file.seek(place)
            file.write(digest.encode())


def _label_column(source: Source) -> str:
    return LABELS if source.is_multi_label else LABEL


def _open_writer(target: Target, source: Source, digest: str) -> Any:
    from mindspore.mindrecord import FileWriter

    description = Description(
        made_by=MADE_BY,
        classes=list(source.classes),
        is_multi_label=source.is_multi_label,
        digest=digest,
    ).model_dump_json()
    label = _label_column(source)
    schema = {
        IMAGE: {"type": "bytes"},
        label: {"type": "string" if source.is_multi_label else "int32"},
        FILE: {"type": "string"},
        NUMBER: {"type": "int64"},
    }
    writer = FileWriter(str(target.path), shard_num=target.files)
    writer.set_page_size(target.page_size)
    writer.set_header_size(target.header_size(description))
    writer.add_schema(schema, description)
    writer.add_index([label, FILE, NUMBER])
    return writer


def _read_batches(
    source: Source,
    target: Target,
    broken: list[tuple[int, Diagnostic]],
    show: Callable[[int], None],
) -> Iterator[list[dict[str, Any]]]:
    """Rows of images that are whole, numbered; the others are put to `broken`."""
    batch: list[dict[str, Any]] = []
    held = number = 0
    most = BATCH_IMAGES * target.files
    with ignore_warnings():
        for index, file in enumerate(source.files):
            faults: list[Diagnostic] = []
            content = collect_faults(faults, with_image, file, _read_whole)
            broken += [(index, fault) for fault in faults]
            if content is None:
                continue
            batch.append(_make_row(source, index, content, number, target.root))
            held, number = held + len(content), number + 1
            if len(batch) == most or held >= BATCH_BYTES:
                yield batch
                show(index + 1)
                batch, held = [], 0
    if batch:
        yield batch
    show(len(source))


def _read_whole(image: Image.Image, file: IO[bytes]) -> bytes:
    check_end(image, file)
    file.seek(0)
    return file.read()


def _make_row(
    source: Source, index: int, content: bytes, number: int, root: Path
) -> dict[str, Any]:
    row = {IMAGE: content, FILE: _name_inside(source.files[index], root), NUMBER: number}
    if not source.is_multi_label:
        return {**row, LABEL: int(source.labels[index])}
    return {**row, LABELS: ";".join(map(str, np.flatnonzero(source.labels[index])))}


def _name_inside(file: ImageFile, root: Path) -> str:
    if isinstance(file, RecordImage):
        return file.path
    name = Path(os.path.relpath(file, root)).as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@contextmanager
def _naming_faults(path: Path) -> Iterator[None]:
    """What MindSpore raises is not for users: pages of its own call stack."""
    from mindspore.mindrecord.common.exceptions import MindRecordException

    try:
        yield
    except (RuntimeError, OSError, MindRecordException) as error:
        raise describe_failure(path, error) from None


def check_room(path: Path, size: int) -> None:
    """Raise ArchspecError (W002) where a disk lacks room for so many bytes.

    MindSpore looks only now and then, and on a disk that is full it may crash.
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        message = f"cannot be written: it needs {size + SPARE_BYTES:,} bytes, and {free:,} are free"
        raise ArchspecError.one("W002", message, str(path))


def describe_failure(path: Path, error: Exception) -> ArchspecError:
    """Return W002 with what the system, or MindSpore, says of a file that cannot be written."""
    said = re.search(r"\[ERROR\] (.*)", str(error))
    reason = said[1] if said else reason_of(error)
    return ArchspecError.one("W002", f"cannot be written: {reason}", str(path))
