"""Data sets in MindRecord files: those that `densenet data pack` wrote, and others whose columns
are clear.

A set is one file, or several that MindSpore spread it over (`train.mindrecord0`, ...); each part of
a data set is one. Classes have names where the files say them, else the numbers or words of their
labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic, name_first
from archspec.train.data.formats.labelled_files import MAX_LABELS, sort_labels
from archspec.train.data.formats.mindrecord_files import INDEX_SUFFIX
from archspec.train.data.formats.mindrecord_set import RecordSet, read_set
from archspec.train.data.images.image_files import PART_FOLDERS, find_broken
from archspec.train.data.sources.source import Source, raise_faults

SUFFIX = ".mindrecord"
LAYOUT = "train.mindrecord and val.mindrecord, or one such file, each with its .db"
MAX_CLASSES = 1 << 20
_FIRST_OF_SET = ("", "0", "00", "000")
"""Behind the suffix, as MindSpore numbers the files of a set of up to 1,000."""
_NAME = re.compile(rf"(.+){re.escape(SUFFIX)}[0-9]*")


@dataclass(frozen=True, eq=False)
class PartsOfRecords:
    """The sets of a data set, by part; the first says which classes there are."""

    paths: Mapping[str, Path]

    @cached_property
    def first(self) -> RecordSet:
        """The set of the training images, or of all there are."""
        return read_set(next(iter(self.paths.values())))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers. Raises DataError (D007)."""
        if self.first.description is not None:
            return tuple(self.first.description.classes)
        labels = {*self.first.labels}
        if any(isinstance(label, str) for label in labels):
            return sort_labels(map(str, labels))
        return tuple(map(str, range(_find_highest(self.first, labels) + 1)))


Part = tuple[PartsOfRecords, str]


def is_mindrecord(path: Path) -> bool:
    """Return whether a file is a MindRecord by its name, or its index."""
    is_index = path.name.endswith(INDEX_SUFFIX)
    is_named = _NAME.fullmatch(path.name) is not None
    return is_named or (not is_index and path.with_name(path.name + INDEX_SUFFIX).is_file())


def find_mindrecords(root: Path) -> dict[str, Part]:
    """Return the set of a file, as `all`, or those of a folder that are called as parts are;
    nothing where there is none. No folder is listed for it.
    """
    if root.is_file():
        return _name_parts({"all": root}) if is_mindrecord(root) else {}
    paths: dict[str, Path] = {}
    for part, stems in {**PART_FOLDERS, "all": ("all",)}.items():
        names = [f"{stem}{SUFFIX}{end}" for stem in stems for end in _FIRST_OF_SET]
        found = [root / name for name in names if (root / name).is_file()]
        if found:
            paths[part] = found[0]
    return _name_parts(paths)


def find_lone_set(root: Path) -> dict[str, Part]:
    """Return the one set of a folder, whatever it is called, as `all`; nothing where there is none.

    Raises DataError (D014): there are several.
    """
    sets: dict[str, Path] = {}
    for path in sorted(root.glob(f"*{SUFFIX}*")):
        match = _NAME.fullmatch(path.name)
        if match and not path.name.startswith(".") and path.is_file():
            sets.setdefault(match[1], path)
    if len(sets) > 1:
        message = f"holds the MindRecord sets {', '.join(sets)}, none of them train"
        raise DataError.one("D014", message, str(root), f"expected: {LAYOUT}")
    return _name_parts({"all": next(iter(sets.values()))}) if sets else {}


def _name_parts(paths: Mapping[str, Path]) -> dict[str, Part]:
    parts = PartsOfRecords(paths)
    return {part: (parts, part) for part in paths}


def read_mindrecord(place: Part, *, check: bool) -> Source:
    """Return the images of a part; with `check` as `read_folder`.

    Raises DataError: D001 a file that is missing, D006 that is not whole, D014 whose columns are
    not clear, D007 a label that is no class.
    """
    parts, part = place
    path = parts.paths[part]
    found = parts.first if path == parts.first.path else read_set(path)
    labels = _number_labels(found, parts)
    source = Source(
        str(path),
        parts.classes,
        labels,
        files=found.images,
        broken=find_broken(found.images) if check else (),
    )
    lacking = [parts.classes[i] for i in np.flatnonzero(source.count_labels() == 0).tolist()]
    if not lacking:
        return source
    return replace(source, notes=(f"{path}: no image has the label {name_first(lacking)}",))


# ---- labels


def _find_highest(found: RecordSet, labels: Iterable[int]) -> int:
    highest = max(labels)
    if highest >= MAX_CLASSES:
        message = f"has the label {highest:,}, and there are at most {MAX_CLASSES:,} classes"
        raise DataError.one("D007", message, str(found.path))
    return highest


def _number_labels(found: RecordSet, parts: PartsOfRecords) -> npt.NDArray[Any]:
    """Labels (N,) int32; where images may have several, (N, classes) float32."""
    classes = parts.classes
    if _list_said(found) != _list_said(parts.first):
        message = f"does not say the same classes as {parts.first.path}"
        raise DataError.one("D004", message, str(found.path), "pack both parts together")
    if found.description is not None and found.description.is_multi_label:
        return _number_several(found, classes)
    numbers = _find_numbers(found, parts)
    wrong = [index for index, number in enumerate(numbers) if not 0 <= number < len(classes)]
    raise_faults([_describe_unknown(found, index, parts) for index in wrong])
    return np.array(numbers, np.int32)


def _list_said(found: RecordSet) -> tuple[Any, ...]:
    """What `data pack` says of the labels, nothing where another wrote them."""
    said = found.description
    return () if said is None else (said.classes, said.is_multi_label)


def _find_numbers(found: RecordSet, parts: PartsOfRecords) -> list[int]:
    """The numbers of classes, -1 for none: what is written, unless it is words in either part."""
    if all(isinstance(label, int) for label in (*found.labels, *parts.first.labels[:1])):
        return list(found.labels)
    known = {name: number for number, name in enumerate(parts.classes)}
    return [known.get(str(label), -1) for label in found.labels]


def _number_several(found: RecordSet, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    if len(found.labels) * len(classes) > MAX_LABELS:
        count = f"{len(found.labels):,} images x {len(classes):,} labels"
        raise DataError.one("D007", f"has {count}, which is too many", str(found.path))
    labels = np.zeros((len(found.labels), len(classes)), np.float32)
    try:
        for index, text in enumerate(found.labels):
            labels[index, [_to_class(word, classes) for word in text.split(";") if word]] = 1
    except (ValueError, AttributeError):
        image = found.images[index]
        message = f"labels {text!r} are no numbers of {len(classes)} classes, parted by ;"
        raise DataError.one("D007", message, str(image)) from None
    return labels


def _to_class(word: str, classes: Sequence[str]) -> int:
    number = int(word)
    if not 0 <= number < len(classes):
        raise ValueError(word)
    return number


def _describe_unknown(found: RecordSet, index: int, parts: PartsOfRecords) -> Diagnostic:
    rule = f"is none of the {len(parts.classes)} classes of {parts.first.path}"
    return Diagnostic("D007", f"label {found.labels[index]!r} {rule}", str(found.images[index]))
