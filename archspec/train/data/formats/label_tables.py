"""A table of files and their labels: CSV or a JSON object a line. Each fault has its line.

CSV has columns `file,label`, of which several labels are parted by `;` or `|`; JSONL has
`{"file": ..., "label": ...}` or `"labels": [...]`. Paths count from the table's folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from archspec.errors import DataError, Diagnostic, format_count
from archspec.train.data.images.image_files import IMAGE_SUFFIXES, reason_of

SUFFIXES = (".csv", ".jsonl")
FILE_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "path",
    "image",
    "image_path",
    "img",
)
LABEL_COLUMNS = ("label", "labels", "class", "classes", "class_name", "category", "tags", "target")
MAX_BYTES = 1 << 30
_HEADER = "the first line names the columns: file,label"


@dataclass(frozen=True, slots=True)
class Row:
    """An image's file as it is written, its labels, and the line, from 1."""

    file: str
    labels: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Table:
    """The rows of a file; `is_multi_label` where one of them has several labels, or a list.

    `faults` (D012) are all that is wrong with it; the other rows are there.
    """

    path: Path
    rows: tuple[Row, ...]
    is_multi_label: bool
    faults: tuple[Diagnostic, ...] = ()

    def place(self, row: Row) -> str:
        """Return `labels.csv:12`."""
        return f"{self.path}:{row.line}"


def read_table(path: Path) -> Table:
    """Return the rows of a table, and a D012 with its line for each that is wrong.

    Raises DataError: D001, it cannot be read; D012, it is no text.
    """
    text = _read_text(path)
    faults: list[Diagnostic] = []
    read = _read_jsonl if path.suffix.lower() == ".jsonl" else _read_csv
    rows, has_lists = [], False
    for line, file, labels, is_list in read(text, path, faults):
        has_lists |= is_list or len(labels) > 1
        rows.append(Row(file, labels, line))
    if not rows and not faults:
        faults.append(Diagnostic("D012", "has no rows of files and labels", str(path), _HEADER))
    faults += _find_wrong_rows(path, rows, has_lists)
    return Table(path, tuple(rows), has_lists, tuple(faults))


Line = tuple[int, str, tuple[str, ...], bool]
"""The line, the file, its labels, and whether they are a list."""


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(path)) from None
    if size > MAX_BYTES:
        raise DataError.one("D012", f"has {size:,} bytes, more than {MAX_BYTES:,}", str(path))
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4096]:
        raise DataError.one("D012", "is no UTF-8 text", f"{path}:1", "save it as CSV UTF-8")
    # What is no UTF-8 is kept as names of files are: there may be a file of such a name.
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _find_wrong_rows(path: Path, rows: Iterable[Row], has_lists: bool) -> Iterator[Diagnostic]:
    first: dict[str, int] = {}
    for row in rows:
        place = f"{path}:{row.line}"
        if not row.file:
            yield Diagnostic("D012", "names no file", place)
        elif row.file in first:
            message = f"names {row.file!r} again, after line {first[row.file]}"
            yield Diagnostic("D012", message, place, "several labels stand in one row: a;b")
        first.setdefault(row.file, row.line)
        if not row.labels and not has_lists:
            yield Diagnostic("D012", f"gives {row.file!r} no label", place)


# ---- CSV


def _read_csv(text: str, path: Path, faults: list[Diagnostic]) -> Iterator[Line]:
    rows = _iterate_csv(text, path, faults)
    line, first = next(rows, (1, []))
    if not first:
        return
    columns: tuple[int, int] | None = (0, 1)
    width = 2
    if first[0].lower().endswith(IMAGE_SUFFIXES):  # there is no header
        rows = chain([(line, first)], rows)
    else:
        columns, width = _find_columns(first, f"{path}:{line}", faults), len(first)
    if columns is None:
        return
    for line, cells in rows:
        if len(cells) == width:
            yield line, cells[columns[0]], _split_labels(cells[columns[1]]), False
            continue
        message = f"has {format_count(len(cells), 'column')}, not {width}"
        hint = 'a comma within a name needs quotes: "a, b"; several labels are parted by ;'
        faults.append(Diagnostic("D012", message, f"{path}:{line}", hint))


def _iterate_csv(
    text: str, path: Path, faults: list[Diagnostic]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold anything, each with its line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        faults.append(Diagnostic("D012", f"is no CSV: {error}", f"{path}:{reader.line_num}"))


def _find_columns(
    cells: Sequence[str], place: str, faults: list[Diagnostic]
) -> tuple[int, int] | None:
    names = [cell.lower() for cell in cells]
    files = [i for i, name in enumerate(names) if name in FILE_COLUMNS]
    labels = [i for i, name in enumerate(names) if name in LABEL_COLUMNS]
    if len(files) == len(labels) == 1:
        return files[0], labels[0]
    message = f"has the columns {', '.join(names)[:200]}: one must be the file, one the label"
    known = f"file: {', '.join(FILE_COLUMNS)}; label: {', '.join(LABEL_COLUMNS)}"
    faults.append(Diagnostic("D012", message, place, known))
    return None


def _split_labels(cell: str) -> tuple[str, ...]:
    labels = [label.strip() for label in cell.replace("|", ";").split(";")]
    return tuple(dict.fromkeys(filter(None, labels)))


# ---- JSON, an object a line


def _read_jsonl(text: str, path: Path, faults: list[Diagnostic]) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _read_object(line, number)
        except (ValueError, RecursionError) as error:
            words = "is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            hint = 'a line is {"file": "a.jpg", "label": "cat"}, or "labels": ["cat", "dog"]'
            faults.append(Diagnostic("D012", words, f"{path}:{number}", hint))


def _read_object(line: str, number: int) -> Line:
    """Raises ValueError."""
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("is no JSON object")
    known = {str(key).lower(): value for key, value in values.items()}
    files = [known[key] for key in FILE_COLUMNS if key in known]
    labels = [known[key] for key in LABEL_COLUMNS if key in known]
    if len(files) != 1 or len(labels) != 1:
        raise ValueError(f"has the keys {', '.join(known)[:200]}, not one file and one label")
    if not isinstance(files[0], str):
        raise ValueError(f"file (={str(files[0])[:60]}) must be text")
    found = labels[0]
    is_list = isinstance(found, list)
    return number, files[0], _check_labels(found if is_list else [found]), is_list


def _check_labels(values: Sequence[Any]) -> tuple[str, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise ValueError(f"label (={str(value)[:60]}) must be text or a whole number")
    return tuple(dict.fromkeys(map(str, values)))
