"""Settings of one command line that a later one replaces: which did the user mean?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archspec.errors import Diagnostic
from archspec.settings import Path
from archspec.spec.reading.document import Document, format_path
from archspec.spec.reading.shorthand import expand_path

_NOTHING = object()
Set = tuple[Path, Document]


def find_overwritten(settings: Sequence[Set]) -> Iterator[Diagnostic]:
    """Yield an S011 for each setting that was typed, or came from Python, and does nothing.

    Those of a recipe's `overrides` are defaults, which the user's replace.
    """
    typed = [
        (expand_path(path), value)
        for path, value in settings
        if value.place(()).origin in ("command line", "python")
    ]
    for number, setting in enumerate(typed):
        path, value = setting
        # Equal values are no fault: a script may well say the same thing twice.
        by = next((later for later in typed[number + 1 :] if _replaces(later, setting)), None)
        if by is not None:
            message = (
                f"{format_path(path)} is replaced by {by[1].place(())}, so that this does nothing"
            )
            yield Diagnostic("S011", message, str(value.place(())), "give one of them")


def _replaces(later: Set, earlier: Set) -> bool:
    """Does it say something else of the same place, of what encloses it,
    or of a part that is said?
    """
    path, value = earlier
    whole, other = later
    if len(whole) > len(path) and whole[: len(path)] == path:
        part = _value_below(value.value, whole[len(path) :])
        return part is not _NOTHING and part != other.value
    return (
        path[: len(whole)] == whole and _value_below(other.value, path[len(whole) :]) != value.value
    )


def _value_below(value: Any, path: Path) -> Any:
    """What a value says at a path; a number is short for a block, nothing equals what is absent."""
    for key in path:
        if key == "layers" and isinstance(value, int):
            return value
        try:
            value = value[key]
        except (TypeError, LookupError):
            return _NOTHING
    return value
