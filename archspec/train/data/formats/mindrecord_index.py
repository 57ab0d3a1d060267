"""The index of a MindRecord file, an SQLite database: where its rows lie, and their values.

Columns of numbers and words that are not in it lie in pages of their own, a row as its length (8
bytes, little-endian) and a map in MessagePack.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError
from archspec.train.data.formats.mindrecord_files import (
    CURE,
    INDEX_SUFFIX,
    Header,
    Rows,
    describe_damage,
)
from archspec.train.data.formats.scalar_rows import decode_row
from archspec.train.data.images.image_files import reason_of
from archspec.train.data.images.record_image import LENGTH_BYTES, RecordFile

KINDS: Mapping[str, type] = {"int32": int, "int64": int, "string": str}
"""Of the columns that are read."""
_Numbers = npt.NDArray[np.int64]
_Table = Mapping[str, Sequence[Any]]


def read_rows(path: Path, header: Header, columns: Sequence[str]) -> Rows:
    """Return where the rows of a file lie, and the values of columns, in the rows' order.

    Raises DataError (D001, D006).
    """
    index = path.with_name(path.name + INDEX_SUFFIX)
    if not index.is_file():
        raise DataError.one("D001", f"lacks its index {index.name}", str(path), CURE)
    indexed = [name for name in columns if name in header.indexed]
    others = [name for name in columns if name not in indexed]
    wanted = [*_name_places("BLOB"), *(f"{name}_0" for name in indexed)]
    if others:
        wanted += _name_places("RAW")
    try:
        table = _read_table(index, wanted, header.rows)
        values = {name: list(table[f"{name}_0"]) for name in indexed}
        starts, ends = _locate(path, header, table, "BLOB")
        if others:
            values |= _read_others(path, *_locate(path, header, table, "RAW"), others)
    except (sqlite3.Error, ValueError, OverflowError) as error:
        raise describe_damage(index, str(error)) from None
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(path)) from None
    _check_kinds(index, header, values)
    return Rows(starts, ends, values)


def _name_places(page: str) -> list[str]:
    return [f"PAGE_ID_{page}", f"PAGE_OFFSET_{page}", f"PAGE_OFFSET_{page}_END"]


def _locate(path: Path, header: Header, table: _Table, page_type: str) -> tuple[_Numbers, _Numbers]:
    """The first byte of each row and the one behind it. Raises ValueError, OSError."""
    places = [table[name] for name in _name_places(page_type)]
    if any(type(value) is not int for column in places for value in column):
        raise ValueError("it has places of rows that are no numbers")
    page, start, end = (np.array(column, np.int64) for column in places)
    size = path.stat().st_size
    # The last page holds no more than it has to.
    last = (size - header.header_size) // header.page_size
    beyond = f"it names rows beyond the {size:,} bytes of {path.name}"
    if ((page < 0) | (page > last) | (start < 0) | (end > header.page_size)).any():
        raise ValueError(beyond)
    base = header.header_size + page * header.page_size
    if ((end - start < LENGTH_BYTES) | (base + end > size)).any():
        raise ValueError(beyond)
    return base + start, base + end


def _read_others(
    path: Path, starts: _Numbers, ends: _Numbers, columns: Sequence[str]
) -> dict[str, list[Any]]:
    """Values that are not in the index. Raises ValueError, OSError."""
    file = RecordFile(path)
    values: dict[str, list[Any]] = {name: [] for name in columns}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        row = decode_row(file.read(start, end - start)[LENGTH_BYTES:])
        for name in columns:
            values[name].append(row.get(name))
    return values


def _open_index(index: Path) -> sqlite3.Connection:
    # Immutable: SQLite makes no files beside it, and takes no locks, which some disks have not.
    address = f"file:{quote(os.fsencode(index.absolute()))}?mode=ro&immutable=1"
    database = sqlite3.connect(address, uri=True)
    database.execute("PRAGMA trusted_schema=OFF")
    return database


def _read_table(index: Path, wanted: Sequence[str], rows: int) -> _Table:
    """Columns of the table, by name. Raises sqlite3.Error, ValueError."""
    names = ", ".join(f"[{name}]" for name in wanted)
    query = f"SELECT {names} FROM INDEXES ORDER BY ROW_ID LIMIT {rows + 1}"  # noqa: S608
    with closing(_open_index(index)) as database:
        _check_table(database, ["ROW_ID", *wanted])
        found = database.execute(query).fetchall()
    if len(found) != rows:
        raise ValueError(f"its rows are not the {rows:,} of {index.stem}")
    columns = list(zip(*found, strict=True)) or [()] * len(wanted)
    return dict(zip(wanted, columns, strict=True))


def _check_table(database: sqlite3.Connection, wanted: Sequence[str]) -> None:
    """A view, or a column that is computed, would run what the file says."""
    plain = {
        str(name).upper()
        for _, name, _, _, _, _, hidden in database.execute("PRAGMA table_xinfo(INDEXES)")
        if not hidden
    }
    made = database.execute("SELECT sql FROM sqlite_master WHERE upper(name) = 'INDEXES'")
    if not all(str(sql).startswith("CREATE TABLE") for (sql,) in made):
        raise ValueError("its INDEXES is no plain table")
    lacking = [name for name in wanted if name.upper() not in plain]
    if lacking:
        raise ValueError(f"its table has no column {lacking[0]}")


def _check_kinds(index: Path, header: Header, values: _Table) -> None:
    """SQLite keeps any value in any column."""
    schema = header.schema_of_rows.columns
    for name, column in values.items():
        kind = KINDS[schema[name].type]
        if any(type(value) is not kind for value in column):
            raise describe_damage(index, f"{name} has values that are no {kind.__name__}")
