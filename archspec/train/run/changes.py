"""Does a run go on with the spec and the recipe that it began with?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archspec.errors import Diagnostic, TrainingError, format_count
from archspec.settings import Path
from archspec.spec.reading.document import format_path, shorten_value
from archspec.train.run.run_directory import Run, read_written

MAX_NAMED = 5
"""Keys that a message names."""
HARMLESS = ("recompute",)
"""Of a recipe: what changes memory and time, and not one bit of the result."""
_ABSENT = object()


def refuse_changes(run: Run) -> None:
    """Raise TrainingError (T016) for each of the run's files that was edited since it began.

    Comments, order of keys and ways of writing a value are no change. Of a run that began under a
    version that kept nothing to compare with, nothing is known.
    """
    if run.settings.written is None:
        return
    kept, now = run.settings.written, read_written(run)
    faults = []
    for name, values in now.items():
        found = _find_changes(kept.get(name), values)
        changes = [change for change in found if change[0][:1] != HARMLESS]
        if changes:
            faults.append(_describe(changes, str(run.path / name)))
    if faults:
        raise TrainingError(faults)


def _find_changes(before: Any, now: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield the path of each value that differs, what it was, and what it is."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            there, here = before.get(key, _ABSENT), now.get(key, _ABSENT)
            yield from _find_changes(there, here, (*path, key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (there, here) in enumerate(zip(before, now, strict=True)):
            yield from _find_changes(there, here, (*path, index))
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield path, before, now


def _describe(changes: list[tuple[Path, Any, Any]], where: str) -> Diagnostic:
    said = [
        f"{format_path(path)}: {_format(before)} -> {_format(now)}"
        for path, before, now in changes[:MAX_NAMED]
    ]
    if changes[MAX_NAMED:]:
        said.append(f"and {format_count(len(changes) - MAX_NAMED, 'more value')}")
    return Diagnostic(
        "T016",
        f"was changed since the run began: {', '.join(said)}",
        where,
        "put it back, or go on with it as it is: --accept-changes",
    )


def _format(value: Any) -> str:
    return "absent" if value is _ABSENT else shorten_value(value)
