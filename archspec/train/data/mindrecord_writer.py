"""Writes images into the files of a MindRecord set, byte for byte."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from archspec.errors import ArchspecError, Diagnostic
from archspec.train.data.image_files import (
    ImageFile,
    check_end,
    collect_faults,
    ignore_warnings,
    reason_of,
    size_of,
    with_image,
)
from archspec.train.data.mindrecord_files import MAX_HEADER
from archspec.train.data.mindrecords import (
    FILE,
    IMAGE,
    LABEL,
    LABELS,
    MADE_BY,
    NUMBER,
    Description,
    read_set,
)
from archspec.train.data.record_image import RecordImage
from archspec.train.data.source import OnError, Source

if TYPE_CHECKING:
    from PIL import Image

BATCH_IMAGES, BATCH_BYTES = 64, 1 << 26
"""What is handed to MindSpore at once, for each file and for all."""
MIN_PAGE, USUAL_PAGE = 1 << 20, 1 << 25
MIN_HEADER = 1 << 16
BYTES_BESIDE_IMAGE = 1 << 10
"""Of a row: its length, and room to spare."""
BYTES_OF_PAGE = 1 << 9
"""What the header says of one."""
Broken = tuple[tuple[int, Diagnostic], ...]


@dataclass(frozen=True)
class Target:
    """A set that is written: its name, from which MindSpore makes those of its files, how many
    those may be, the bytes of each image, and the folder that images are named from.
    """

    path: Path
    shards: int
    sizes: Sequence[int]
    root: Path

    @property
    def files(self) -> int:
        """How many files it has."""
        return max(1, min(self.shards, len(self.sizes)))

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
    """Write a set, and return the images that are not whole and so left out."""
    broken: list[tuple[int, Diagnostic]] = []
    writer = None
    for batch in _read_batches(source, target, broken, show):
        # What will be refused need not be written; the rest is looked at all the same.
        if not broken or on_error == "skip":
            with _naming_faults(target.path):
                writer = writer or _open_writer(target, source)
                writer.write_raw_data(batch)
    if writer is not None:
        with _naming_faults(target.path):
            writer.commit()
    return tuple(broken)


def _open_writer(target: Target, source: Source) -> Any:
    from mindspore.mindrecord import FileWriter

    description = Description(
        made_by=MADE_BY, classes=list(source.classes), is_multi_label=source.is_multi_label
    ).model_dump_json()
    label = LABELS if source.is_multi_label else LABEL
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
    except UnicodeEncodeError:
        reason = "MindSpore writes to no path that is not UTF-8"
        raise ArchspecError.one("W002", f"cannot be written: {reason}", str(path)) from None
    except (RuntimeError, OSError, MindRecordException) as error:
        raise describe_failure(path, error) from None


def describe_failure(path: Path, error: Exception) -> ArchspecError:
    """Return W002 with what the system, or MindSpore, says of a file that cannot be written."""
    said = re.search(r"\[ERROR\] (.*)", str(error))
    reason = said[1] if said else reason_of(error)
    return ArchspecError.one("W002", f"cannot be written: {reason}", str(path))


def check_written(path: Path, source: Source) -> None:
    """Compare what was written with what was meant; a set is there before its data set goes."""
    first = next(iter(sorted(path.parent.glob(f"{path.name}*"))))
    found = read_set(first)
    meant = [size_of(file) for file in source.files]
    if [image.size for image in found.images] != meant:
        raise ArchspecError.one(
            "W002", "does not hold what was written; is the disk sound?", str(path)
        )
