"""What stands in MindRecord files, read without MindSpore and without running anything.

A file begins with the length of its header (8 bytes), the header in JSON, and pages of one size
from `header_size` on: those of rows' bytes, and those of numbers and words. Where each row lies
says `FILE.db` (mindrecord_index.py). A row of bytes is its length (8 bytes, little-endian) and its
one column; of several columns each has its own length before it (big-endian), in the header's
order.

D001, a file that cannot be read; D006, one that is not whole; D014, columns that are not clear.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec.errors import DataError
from archspec.train.data.images.image_files import reason_of
from archspec.train.data.images.record_image import LENGTH_BYTES, RecordFile, RecordImage

MAX_HEADER, MAX_PAGE, MAX_SHARDS = 1 << 27, 1 << 28, 1_000
"""MindSpore writes no larger ones."""
INDEX_SUFFIX = ".db"
CURE = "copy it anew, together with its .db"
_Word = Annotated[str, Field(pattern=r"^[0-9a-zA-Z_]{1,200}$")]
_Count = Annotated[int, Field(ge=0, le=1 << 40)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Column(_Model):
    """What a column holds: `bytes`, `string`, `int32` and so on; with a shape it is an array."""

    type: str
    shape: tuple[int, ...] | None = Field(default=None, strict=False)


class Schema(_Model):
    """The columns of a file; those of `blob_fields` lie in its pages of bytes, in that order."""

    blob_fields: Annotated[tuple[_Word, ...], Field(strict=False)]
    desc: str = ""
    columns: dict[_Word, Column] = Field(alias="schema")


class _Page(_Model):
    page_type: str
    end_row_id: _Count


class _IndexField(_Model):
    index_field: _Word


class Header(_Model):
    """The header of a file, as far as reading needs it."""

    header_size: Annotated[int, Field(ge=1 << 14, le=MAX_HEADER)]
    page_size: Annotated[int, Field(ge=1 << 15, le=MAX_PAGE)]
    page: Annotated[tuple[_Page, ...], Field(strict=False)] | None
    index_fields: Annotated[tuple[_IndexField, ...], Field(strict=False)] | None = None
    schemas: Annotated[
        tuple[Schema, ...], Field(alias="schema", min_length=1, max_length=1, strict=False)
    ]
    shard_addresses: Annotated[
        tuple[str, ...], Field(min_length=1, max_length=MAX_SHARDS, strict=False)
    ]

    @property
    def schema_of_rows(self) -> Schema:
        """The one schema."""
        return self.schemas[0]

    @property
    def indexed(self) -> tuple[str, ...]:
        """The columns whose values stand in the index."""
        return tuple(field.index_field for field in self.index_fields or ())

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        blobs = (page.end_row_id for page in self.page or () if page.page_type == "BLOB_DATA")
        return max(blobs, default=0)


@dataclass(frozen=True, eq=False)
class Rows:
    """Where the rows of a file lie, from each one's length to its end, and values of columns."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    values: dict[str, list[Any]]


def read_header(path: Path) -> Header:
    """Return the header of a file. Raises DataError (D001, D006)."""
    if not path.is_file():  # nor is a folder or a device one
        raise DataError.one("D001", "does not exist", str(path), "copy all files of a set")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            content = file.read(length) if length <= MAX_HEADER else b""
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(path)) from None
    if not content or len(content) < length:
        raise describe_damage(path, "it does not begin with the length of a header, and the header")
    try:
        return Header.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise describe_damage(path, f"{place or 'its header'}: {first['msg']}") from None


def list_shards(path: Path, header: Header) -> list[Path]:
    """Return the files of a set, which lie beside each other. Raises DataError (D014)."""
    if len(header.shard_addresses) == 1:
        return [path]  # it may have been renamed
    names = [os.path.basename(address) for address in header.shard_addresses]
    if path.name not in names or len({*names}) < len(names):
        message = f"is one of {len(names)} files that its header calls {names[0]} to {names[-1]}"
        raise DataError.one("D014", message, str(path), "give it its own name again")
    return [path.parent / name for name in names]


def list_images(
    file: RecordFile, header: Header, rows: Rows, column: str, names: Sequence[str]
) -> list[RecordImage]:
    """Return the images of a file, which lie in a column of bytes.

    Raises OSError; DataError (D006).
    """
    fields = header.schema_of_rows.blob_fields
    places = zip(names, rows.starts.tolist(), rows.ends.tolist(), strict=True)
    if fields == (column,):
        return [
            RecordImage(file, name, start + LENGTH_BYTES, end - start - LENGTH_BYTES, "little")
            for name, start, end in places
        ]
    before = fields.index(column)
    return [_find_image(file, name, start, end, before) for name, start, end in places]


def _find_image(file: RecordFile, name: str, start: int, end: int, before: int) -> RecordImage:
    """The image behind so many others of a row."""
    at = start + LENGTH_BYTES
    for number in range(before + 1):
        length = int.from_bytes(file.read(at, LENGTH_BYTES), "big")
        at += LENGTH_BYTES
        if at + length > end:
            raise describe_damage(file.path, f"the columns of {name} are longer than their row")
        if number < before:
            at += length
    return RecordImage(file, name, at, length, "big")


def describe_damage(path: Path, reason: str) -> DataError:
    """Return D006 with what is wrong with a file."""
    return DataError.one("D006", f"is no whole MindRecord file: {reason}", str(path), CURE)
