"""Whether the parts of a folder of images are apart: nothing is judged with what was learnt."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.errors import Diagnostic

if TYPE_CHECKING:
    from archspec.train.data.source import Source

MAX_COMPARED = 50
"""Images of a class whose contents are compared: of other images the first differs already."""
_CURE = "keep them apart; where there is no val folder, a share of the training images is held out"


def find_shared(train: Source, other: Source | None) -> Iterator[Diagnostic]:
    """Yield a D011 for each class whose images in another part are those of training.

    They may be links to them, or copies.
    """
    if other is None or not train.files:
        return
    learnt, others = _group_by_class(train), _group_by_class(other)
    for label, name in enumerate(train.classes):
        if _are_same(learnt.get(label, ()), others.get(label, ())):
            message = f"class {name!r} has the same images as in {train.name}"
            yield Diagnostic("D011", message, other.name, _CURE)


def _group_by_class(source: Source) -> dict[int, list[Path]]:
    files: dict[int, list[Path]] = {}
    for file, label in zip(source.files, source.labels.tolist(), strict=True):
        files.setdefault(label, []).append(file)
    return files


def _are_same(some: Sequence[Path], others: Sequence[Path]) -> bool:
    """Equal names in equal number, and of images spread over all of them equal contents."""
    names = [file.name for file in some]
    if not some or names != [file.name for file in others]:
        return False
    step = max(1, len(some) // MAX_COMPARED)
    pairs = zip(some[::step], others[::step], strict=True)
    return all(_is_same(one, other) for one, other in pairs)


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):  # of an image that cannot be read it is said elsewhere
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    return False
