"""What stands in MindRecord files, read without MindSpore and without running anything.

A file begins with the length of its header (8 bytes), the header in JSON, and pages of one size
from `header_size` on: those of rows' bytes, and those of other columns, which we need not read,
since `FILE.db`, an SQLite database, has them and where each row lies. A row is its length (8 bytes,
little-endian) and the bytes of its one column; of several columns each has its own length before it
(big-endian), in the header's order.

D001, a file that cannot be read; D006, one that is not whole; D014, columns that are not clear.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec.errors import DataError
from archspec.train.data.image_files import reason_of
from archspec.train.data.record_image import LENGTH_BYTES, RecordFile, RecordImage

MAX_HEADER, MAX_PAGE, MAX_SHARDS = 1 << 27, 1 << 28, 1_000
"""MindSpore writes no larger ones."""
INDEX_SUFFIX = ".db"
KINDS: Mapping[str, type] = {"int32": int, "int64": int, "string": str}
"""Of the columns that are read from an index."""
_PLACES = ("PAGE_ID_BLOB", "PAGE_OFFSET_BLOB", "PAGE_OFFSET_BLOB_END")
_CURE = "copy it anew, together with its .db"
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
    """Where the rows of a file lie, from each one's length to its end, and their indexed values."""

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
        raise _damaged(path, "it does not begin with the length of a header, and the header")
    try:
        return Header.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{place or 'its header'}: {first['msg']}") from None


def list_shards(path: Path, header: Header) -> list[Path]:
    """Return the files of a set, which lie beside each other. Raises DataError (D014)."""
    if len(header.shard_addresses) == 1:
        return [path]  # it may have been renamed
    names = [os.path.basename(address) for address in header.shard_addresses]
    if path.name not in names or len({*names}) < len(names):
        message = f"is one of {len(names)} files that its header calls {names[0]} to {names[-1]}"
        raise DataError.one("D014", message, str(path), "give it its own name again")
    return [path.parent / name for name in names]


def read_rows(path: Path, header: Header, columns: Sequence[str]) -> Rows:
    """Return where the rows of a file lie, and the values of indexed columns, in the rows' order.

    Raises DataError (D001, D006).
    """
    index = path.with_name(path.name + INDEX_SUFFIX)
    if not index.is_file():
        raise DataError.one("D001", f"lacks its index {index.name}", str(path), _CURE)
    try:
        with closing(_open_index(index)) as database:
            rows = _select(database, columns, header.rows)
        size = path.stat().st_size
    except (sqlite3.Error, ValueError, OverflowError) as error:
        raise _damaged(index, str(error)) from None
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(path)) from None
    if len(rows) != header.rows:
        raise _damaged(index, f"its rows are not the {header.rows:,} of {path.name}")
    values = [list(column) for column in zip(*rows, strict=True)]
    if not rows:
        values = [[] for _ in (*_PLACES, *columns)]
    _check_kinds(index, header, columns, values)
    page, start, end = (np.array(column, np.int64) for column in values[: len(_PLACES)])
    # The last page holds no more than it has to.
    last = (size - header.header_size) // header.page_size
    if ((page < 0) | (page > last) | (start < 0) | (end > header.page_size)).any():
        raise _damaged(index, f"it names rows beyond the {size:,} bytes of {path.name}")
    base = header.header_size + page * header.page_size
    if ((end - start < LENGTH_BYTES) | (base + end > size)).any():
        raise _damaged(path, f"it has {size:,} bytes, and its index names rows beyond them")
    named = dict(zip(columns, values[len(_PLACES) :], strict=True))
    return Rows(base + start, base + end, named)


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
            raise _damaged(file.path, f"the columns of {name} are longer than their row")
        if number < before:
            at += length
    return RecordImage(file, name, at, length, "big")


def _open_index(index: Path) -> sqlite3.Connection:
    # Immutable: SQLite makes no files beside it, and takes no locks, which some disks have not.
    address = f"file:{quote(os.fsencode(index.absolute()))}?mode=ro&immutable=1"
    database = sqlite3.connect(address, uri=True)
    database.execute("PRAGMA trusted_schema=OFF")
    return database


def _select(
    database: sqlite3.Connection, columns: Sequence[str], rows: int
) -> list[tuple[Any, ...]]:
    # A view, or a column that is computed, would run what the file says.
    plain = {
        str(name).upper()
        for _, name, _, _, _, _, hidden in database.execute("PRAGMA table_xinfo(INDEXES)")
        if not hidden
    }
    made = database.execute("SELECT sql FROM sqlite_master WHERE upper(name) = 'INDEXES'")
    if not all(str(sql).startswith("CREATE TABLE") for (sql,) in made):
        raise ValueError("its INDEXES is no plain table")
    wanted = (*_PLACES, *(f"{name}_0" for name in columns))
    lacking = [name for name in ("ROW_ID", *wanted) if name.upper() not in plain]
    if lacking:
        raise ValueError(f"its table has no column {lacking[0]}")
    names = ", ".join(f"[{name}]" for name in wanted)
    query = f"SELECT {names} FROM INDEXES ORDER BY ROW_ID LIMIT {rows + 1}"  # noqa: S608
    return database.execute(query).fetchall()


def _check_kinds(
    index: Path, header: Header, columns: Sequence[str], values: Sequence[Sequence[Any]]
) -> None:
    """SQLite keeps any value in any column."""
    schema = header.schema_of_rows.columns
    kinds = [*(int for _ in _PLACES), *(KINDS[schema[name].type] for name in columns)]
    for kind, column in zip(kinds, values, strict=True):
        if any(type(value) is not kind for value in column):
            raise _damaged(index, f"it has values that are no {kind.__name__}")


def _damaged(path: Path, reason: str) -> DataError:
    return DataError.one("D006", f"is no whole MindRecord file: {reason}", str(path), _CURE)
