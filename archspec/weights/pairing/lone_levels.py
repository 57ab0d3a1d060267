"""Levels of names that hold one thing alone, and so tell nothing.

`module.` of a wrapped network, `layers` in `denselayer1.layers.norm1`, the number in
`classifier.1.weight`: authors differ in them, and the tree of names stays the same without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def drop_lone_levels(names: Iterable[str]) -> dict[str, str]:
    """Return for each name what is left of it without levels that are alone where they stand.

    The last part of a name stays. Names as they are, where two would become one.
    """
    below: dict[tuple[str, ...], set[str]] = {}
    split = {name: tuple(name.split(".")) for name in names}
    for parts in split.values():
        for depth, part in enumerate(parts):
            below.setdefault(parts[:depth], set()).add(part)
    short: dict[str, str] = {}
    for name, parts in split.items():
        kept = [part for depth, part in enumerate(parts[:-1]) if len(below[parts[:depth]]) > 1]
        short[name] = ".".join([*kept, parts[-1]])
    return short if len(set(short.values())) == len(short) else {name: name for name in split}


def list_dropped(names: Iterable[str]) -> list[str]:
    """Return the levels that `drop_lone_levels` leaves out, each once, in order."""
    dropped: dict[str, None] = {}
    for name, short in drop_lone_levels(names).items():
        dropped |= dict.fromkeys(_list_left_out(name, short))
    return list(dropped)


def _list_left_out(name: str, short: str) -> Iterator[str]:
    left = short.split(".")
    for part in name.split("."):
        if left and part == left[0]:
            left.pop(0)
        else:
            yield part
