"""Data sets whose images are named in tables, one for each part (`tables`)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic, name_first
from archspec.train.data.formats.label_tables import SUFFIXES, Row, Table, read_table
from archspec.train.data.images.image_files import (
    PART_FOLDERS,
    collect_faults,
    find_broken,
    find_folder,
)
from archspec.train.data.sources.class_names import ClassList, find_class_list
from archspec.train.data.sources.source import MAX_FAULTS, Source


@dataclass(frozen=True, eq=False)
class TableSet:
    """The tables of a data set, by part; the first says which classes there are, unless a list of
    classes lies beside it.
    """

    paths: Mapping[str, Path]

    @cached_property
    def _tables(self) -> dict[str, Table | DataError]:
        tables: dict[str, Table | DataError] = {}
        for part, path in self.paths.items():
            try:
                tables[part] = read_table(path)
            except DataError as error:
                tables[part] = error
        return tables

    def table(self, part: str) -> Table:
        """Return a part's table, faults with it. Raises DataError (D001, D012)."""
        found = self._tables[part]
        if isinstance(found, DataError):
            raise found
        return found

    @cached_property
    def first(self) -> Table:
        """The table of the training images, or of all there are."""
        return self.table(next(iter(self.paths)))

    @property
    def faults_of_first(self) -> tuple[Diagnostic, ...]:
        """Why the first table does not say which classes there are."""
        first = self._tables[next(iter(self.paths))]
        return first.diagnostics if isinstance(first, DataError) else first.faults

    @cached_property
    def is_multi_label(self) -> bool:
        """Whether an image of any part has several labels."""
        return any(isinstance(t, Table) and t.is_multi_label for t in self._tables.values())

    @cached_property
    def class_list(self) -> ClassList | None:
        """Which classes there are, where a file beside the first table says it.

        Raises DataError (D012), of names that labels cannot tell apart too.
        """
        found = find_class_list(self.first.path.parent)
        if found is not None and found.repeated:
            rule = f"{found.repeated}: labels are told apart by their names"
            raise DataError.one("D012", rule, str(found.path))
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        if self.class_list is not None:
            return self.class_list.names
        return sort_labels({label for row in self.first.rows for label in row.labels})

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of the class that a label means: by its name, by the sign that a list has for
        it, or where the list has names alone by its place in it.
        """
        names = {name: number for number, name in enumerate(self.classes)}
        if self.class_list is None:
            return names
        signs = self.class_list.keys
        if not signs and not any(name.isdecimal() for name in names):
            signs = {str(number): number for number in range(len(names))}
        return {**signs, **names}


Part = tuple[TableSet, str]


MAX_LABELS = 2**28
"""Images times labels of a table, a gigabyte."""


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels in order: whole numbers by their value, all others as text."""
    found = list(labels)
    if all(label.isdecimal() for label in found):
        # By length and digits: Python reads no number of more than 4,300.
        return tuple(sorted(found, key=_weigh_number))
    return tuple(sorted(found))


def _weigh_number(label: str) -> tuple[int, str, str]:
    digits = label.lstrip("0")
    return len(digits), digits, label


def find_tables(root: Path) -> dict[str, Part]:
    """Return the tables of a file or folder by part, `all` of a file; nothing where there is none,
    or the folder has parts of class folders.
    """
    if root.is_file():
        return {"all": (TableSet({"all": root}), "all")} if is_table(root) else {}
    paths: dict[str, Path] = {}
    for part, names in PART_FOLDERS.items():
        meant = [root / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
        found = next(filter(Path.is_file, meant), None)
        if found is not None:
            paths[part] = found
    if not paths or find_folder(root).keys() - {"all"}:
        return {}
    tables = TableSet(paths)
    return {part: (tables, part) for part in paths}


def is_table(path: Path) -> bool:
    """Return whether a file is a table by its suffix."""
    return path.suffix.lower() in SUFFIXES


def read_labelled_files(place: Part, *, check: bool) -> Source:
    """Return the images of a part; with `check` as `read_folder`.

    Raises DataError, all at once: D012, see `read_table`; D001 for the files that do not exist,
    D007 for each label that is no class; D004 for classes that the part lacks.
    """
    tables, part = place
    table = tables.table(part)
    files = tuple(table.path.parent / row.file for row in table.rows)
    faults = [*table.faults, *_find_missing(table, files)]
    unnamed = [*tables.faults_of_first]
    if not unnamed:
        collect_faults(unnamed, lambda: tables.classes)
    if unnamed:
        raise DataError([*unnamed, *faults])
    faults += _find_unknown(tables, table)
    if not faults and not tables.is_multi_label:
        faults += _find_lacking(tables, table)
    if faults:
        raise DataError(faults)
    return Source(
        str(table.path),
        tables.classes,
        _number_labels(tables, table),
        files=files,
        notes=tuple(_note_lacking(tables, table)),
        broken=find_broken(files) if check else (),
    )


def _number_labels(tables: TableSet, table: Table) -> npt.NDArray[Any]:
    numbers = tables.numbers
    if not tables.is_multi_label:
        return np.array([numbers[row.labels[0]] for row in table.rows], np.int32)
    if len(table.rows) * len(tables.classes) > MAX_LABELS:
        count = f"{len(table.rows):,} images x {len(tables.classes):,} labels"
        hint = "`;` and `|` part labels: is this the column of labels?"
        raise DataError.one("D012", f"has {count}, which is too many", str(table.path), hint)
    labels = np.zeros((len(table.rows), len(tables.classes)), np.float32)
    for index, row in enumerate(table.rows):
        labels[index, [numbers[label] for label in row.labels]] = 1
    return labels


def _find_missing(table: Table, files: Sequence[Path]) -> Iterator[Diagnostic]:
    """One fault for all of them: hundreds of lines would hide what else is wrong."""
    hint = f"paths count from the table's folder, {table.path.parent}"
    missing: dict[str, Row] = {}
    for row, file in zip(table.rows, files, strict=True):
        if row.file and not os.path.isfile(file):  # nor is a folder or a device one
            missing.setdefault(row.file, row)
    if not missing:
        return
    first, *others = missing.values()
    rule = f"file {first.file!r} does not exist"
    if others:
        named = [f"{row.file!r} (line {row.line})" for row in missing.values()][:MAX_FAULTS]
        named += [f"{len(missing) - MAX_FAULTS:,} more"] if len(missing) > MAX_FAULTS else []
        rule = f"{len(missing):,} files do not exist: {', '.join(named)}"
    yield Diagnostic("D001", rule, table.place(first), hint)


def _find_unknown(tables: TableSet, table: Table) -> Iterator[Diagnostic]:
    where = tables.first.path
    if tables.class_list is not None:
        where = tables.class_list.path
    rule = f"is none of the {len(tables.classes)} classes of {where}"
    found = 0
    for row in table.rows:
        for label in [each for each in row.labels if each not in tables.numbers]:
            found += 1  # what is told is few; to look for the nearest of all takes minutes
            hint = _hint_at_label(label, tables.classes) if found <= MAX_FAULTS else ""
            yield Diagnostic("D007", f"label {label!r} {rule}", table.place(row), hint)


def _hint_at_label(label: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(label[:60], classes[:10_000], n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _find_lacking(tables: TableSet, table: Table) -> Iterator[Diagnostic]:
    """Classes that there are images of to learn from, and none to judge by."""
    if table is tables.first:
        return
    for name in _list_lacking(tables, table):
        message = f"lacks the class {name!r} of {tables.first.path}"
        yield Diagnostic("D004", message, str(table.path), "each part has images of every class")


def _note_lacking(tables: TableSet, table: Table) -> Iterator[str]:
    lacking = _list_lacking(tables, table)
    if lacking:
        yield f"{table.path}: no image has the label {name_first(lacking)}"


def _list_lacking(tables: TableSet, table: Table) -> list[str]:
    """The classes that no row of a table has, of those that there are in the first."""
    expected = {*tables.classes}
    if table is not tables.first:
        expected = _name_present(tables, tables.first)
    lacking = expected - _name_present(tables, table)
    return [name for name in tables.classes if name in lacking]


def _name_present(tables: TableSet, table: Table) -> set[str]:
    labels = {label for row in table.rows for label in row.labels}
    return {tables.classes[tables.numbers[label]] for label in labels if label in tables.numbers}
