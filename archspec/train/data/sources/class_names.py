"""Names of classes, where folders and labels have only signs of them (n01440764 -> tench).

A file `classes.csv`, `.json` or `.txt` beside the data set, or the recipe's `data.class_names`:

.txt   a name a line, in the order of the classes; or a sign and, behind a space, its name
.csv   name, or sign,name; or number,sign,name
.json  ["cat", "dog"]; {"0": "cat"}; {"n01440764": "tench"}; {"0": ["n01440764", "tench"]}
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import ne
from pathlib import Path
from typing import Any

from archspec.errors import DataError, Diagnostic, format_count, name_first
from archspec.train.data.images.image_files import reason_of
from archspec.train.data.sources.data_parts import DataSet
from archspec.train.data.sources.source import Source, raise_faults

FILES = ("classes.csv", "classes.json", "classes.txt")
MAX_BYTES = 16 << 20
MAX_NAME = 200
NAMED = 5
"""Classes that are named of those that differ."""


@dataclass(frozen=True)
class ClassList:
    """Names in order, and the numbers of the signs that stand for them."""

    path: Path
    names: tuple[str, ...]
    keys: Mapping[str, int]
    repeated: str = ""
    """In words, which names without signs stand for several classes."""
    blank: int = 0
    """The first blank line between names, from 1; 0 where there is none."""


def find_class_list(folder: Path) -> ClassList | None:
    """Return the class list that lies in a folder, None where there is none.

    Raises DataError (D001, D012).
    """
    for name in FILES:
        if (folder / name).is_file():
            return read_class_list(folder / name)
    return None


def read_class_list(path: Path) -> ClassList:
    """Return the class list of a file. Raises DataError (D001, D012)."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError.one("D012", f"has more than {MAX_BYTES:,} bytes", str(path))
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(path)) from None
    except ValueError:
        raise DataError.one("D012", "is no UTF-8 text", str(path)) from None
    try:
        rows = _READERS.get(path.suffix.lower(), _read_text)(text)
    except (ValueError, RecursionError, csv.Error) as error:
        words = "is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError.one("D012", words, str(path), "a name a line, or sign,name") from None
    raise_faults([Diagnostic("D012", rule, str(path)) for rule in _find_wrong_rows(rows)])
    keys = {sign: number for number, (signs, _) in enumerate(rows) for sign in signs}
    blank = _find_blank(text) if path.suffix.lower() not in (".csv", ".json") else 0
    return ClassList(path, _tell_apart(rows), keys, _describe_repeated(rows), blank)


Row = tuple[tuple[str, ...], str]
"""The signs of a class, and its name."""


def _find_wrong_rows(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "names no classes"
    known: dict[str, str] = {}
    for number, (signs, name) in enumerate(rows):
        if not name:
            yield f"says no name of class {number}"
        elif len(name) > MAX_NAME:
            yield f"has a name of {len(name):,} letters for class {number}, more than {MAX_NAME}"
        yield from _find_second_names(signs, name, known)


def _find_second_names(signs: Iterable[str], name: str, known: dict[str, str]) -> Iterator[str]:
    """Signs that are known under another name; those that are new are known from here on."""
    for sign in signs:
        other = known.setdefault(sign, name)
        if other != name:
            yield f"gives {sign!r} two names: {other}, {name}"


def _find_blank(text: str) -> int:
    lines = text.strip().splitlines()
    first = text[: len(text) - len(text.lstrip())].count("\n") + 1
    return next((first + n for n, line in enumerate(lines) if not line.strip()), 0)


def _describe_repeated(rows: Sequence[Row]) -> str:
    """Of names without signs, which nobody can tell apart; such as `'cat' is the name of classes
    0 and 3`.
    """
    places: dict[str, list[int]] = {}
    for number, (signs, name) in enumerate(rows):
        if not signs:
            places.setdefault(name, []).append(number)
    told = []
    for name, numbers in places.items():
        if len(numbers) > 1:
            told.append(f"{name!r} is the name of classes {' and '.join(map(str, numbers))}")
    return _name_some(told)


def _tell_apart(rows: Sequence[Row]) -> tuple[str, ...]:
    """Names that several classes have get their signs: ImageNet has two cranes."""
    counts = Counter(name for _, name in rows)
    names = []
    for number, (signs, name) in enumerate(rows):
        sign = signs[-1] if signs else str(number)
        names.append(name if counts[name] == 1 else f"{name} ({sign})")
    return tuple(names)


def _read_text(text: str) -> list[Row]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [((), line) for line in lines]


def _read_csv(text: str) -> list[Row]:
    rows = []
    for row in csv.reader(io.StringIO(text, newline="")):
        cells = [cell.strip() for cell in row]
        if any(cells):
            rows.append(cells)
    widths = {len(row) for row in rows}
    if len(widths) > 1 or widths - {1, 2, 3}:
        raise ValueError("has not one, two or three columns in every row")
    if rows and rows[0][-1].lower() in ("name", "class", "class_name", "label"):
        rows = rows[1:]
    return [(tuple(row[:-1]), row[-1]) for row in rows]


def _read_json(text: str) -> list[Row]:
    values = json.loads(text)
    if isinstance(values, list):
        return [((), _text_of(value)) for value in values]
    if not isinstance(values, dict):
        raise ValueError("is neither a list nor an object")
    rows = [_read_entry(key, value) for key, value in values.items()]
    if all(signs[0].isdecimal() for signs, _ in rows):
        rows.sort(key=lambda row: int(row[0][0]))
        if [int(signs[0]) for signs, _ in rows] != list(range(len(rows))):
            raise ValueError(f"does not number its {len(rows)} classes from 0")
    return rows


def _read_entry(key: str, value: Any) -> Row:
    """`"0": "cat"`, or `"0": ["n01440764", "tench"]`, whose last word is the name."""
    words = value if isinstance(value, list) else [value]
    if not words:
        raise ValueError(f"says nothing of {key!r}")
    signs = [key, *map(_text_of, words[:-1])]
    return tuple(sign for sign in signs if sign), _text_of(words[-1])


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"has a name that is no text: {str(value)[:60]}")
    return value.strip()


_READERS = {".txt": _read_text, ".csv": _read_csv, ".json": _read_json}


# ---- naming the classes of a data set


def name_classes(data: DataSet, found: ClassList) -> DataSet:
    """Return a data set whose classes have the names of a list.

    Raises DataError (D012) where the list does not say all of them.
    """
    names = list_names(data.train.classes, found)
    notes = data.train.notes
    if found.repeated and names != data.train.classes:
        notes = (*notes, f"{found.path}: {found.repeated}; the number is added to each")
    return replace(
        data,
        train=replace(data.train, classes=names, notes=notes),
        val=data.val and replace(data.val, classes=names),
        test=data.test and replace(data.test, classes=names),
    )


def name_source(source: Source, found: ClassList) -> Source:
    """Return images whose classes have the names of a list. Raises DataError (D012)."""
    return replace(source, classes=list_names(source.classes, found))


def list_names(classes: Sequence[str], found: ClassList) -> tuple[str, ...]:
    """Return the name of each class: by its sign, else by its place in a list without signs.

    Classes that have the names of the list already keep them. Raises DataError (D012).
    """
    if set(classes) == set(found.names):
        return tuple(classes)
    signs = dict(found.keys)
    if not signs.keys() & {*classes}:
        signs |= _split_signs(classes, found.names)
    missing = [name for name in classes if name not in signs]
    if not missing:
        spoken = [found.names[signs[name]] for name in classes]
        stripped = [_strip_sign(sign, name) for sign, name in zip(classes, spoken, strict=True)]
        return _tell_apart([((sign,), name) for sign, name in zip(classes, stripped, strict=True)])
    mixed = [name for name in classes if name in found.names]
    if len(missing) == len(classes) == len(found.names) and not mixed:
        # Folders 0 to 11 are sorted as text, and meant as numbers.
        are_numbers = {*classes} == {str(number) for number in range(len(classes))}
        return tuple(found.names[int(name)] for name in classes) if are_numbers else found.names
    count = f"{format_count(len(found.names), 'name')} for {len(classes):,} classes"
    message = f"has {count}, none for {name_first(missing)}"
    if mixed and len(found.names) == len(classes):
        message = f"names some classes as the data do, and not {name_first(missing)}"
    hint = f"line {found.blank} is blank, and no name" if found.blank else ""
    raise DataError([Diagnostic("D012", message, str(found.path), hint)])


def _split_signs(classes: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Signs that stand before the names in lines such as `n01440764 tench`."""
    known = {*classes}
    firsts = {name.split(maxsplit=1)[0]: number for number, name in enumerate(names)}
    return {sign: number for sign, number in firsts.items() if sign in known}


def _strip_sign(sign: str, name: str) -> str:
    return name.removeprefix(f"{sign} ").strip() or name


# ---- two lists of classes


def describe_differences(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """Return in words how the classes of data differ from a checkpoint's, by what differs alone."""
    if len(theirs) != len(ours):
        return _describe_surplus(theirs, ours)
    if len({*theirs} - {*ours}) < sum(map(ne, theirs, ours)):
        # Other names stand elsewhere in the order, and move those between: they are told alone.
        return _describe_names(theirs, ours)
    pairs = [
        f"{number} is {their!r}, not {our!r}"
        for number, (their, our) in enumerate(zip(theirs, ours, strict=True))
        if their != our
    ]
    verb = "differs" if len(pairs) == 1 else "differ"
    return f"{len(theirs):,} classes, {len(pairs):,} {verb}: {_name_some(pairs)}"


def _describe_surplus(theirs: Sequence[str], ours: Sequence[str]) -> str:
    message = f"has {len(theirs):,} classes, the checkpoint {len(ours):,}"
    foreign = [name for name in theirs if name not in {*ours}]
    missing = [name for name in ours if name not in {*theirs}]
    for names, what in ((foreign, "not of the checkpoint"), (missing, "of the checkpoint alone")):
        if names:
            message += f"; {what}: {_name_some(names)}"
    return message


def _describe_names(theirs: Sequence[str], ours: Sequence[str]) -> str:
    new = [name for name in theirs if name not in {*ours}]
    gone = [name for name in ours if name not in {*theirs}]
    if not new:
        said = f"the {len(ours):,} classes of the checkpoint in another order"
        return f"{said}: {_name_some(theirs)} instead of {_name_some(ours)}"
    verb = "differs" if len(new) == 1 else "differ"
    said = f"{len(theirs):,} classes, {len(new):,} {verb}: {_name_some(list(map(repr, new)))}"
    return f"{said} instead of {_name_some(list(map(repr, gone)))}"


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
