"""A YAML document as plain values that remember where each of them was written.

A path is a tuple of keys and indices, `("blocks", 2, "growth_rate")`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archspec.errors import Place, SpecError

if TYPE_CHECKING:
    from archspec.settings import Path

NOWHERE = Place("", "found")
"""Of values that nobody wrote."""
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Document:
    """Plain values (mapping, list, scalar), the place of every value,
    and the place of every key.
    """

    value: Any
    places: Mapping[Path, Place] = field(default_factory=dict)
    keys: Mapping[Path, Place] = field(default_factory=dict)

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return the place of the value (or key) at `path`,
        else of the nearest thing that encloses it.
        """
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, NOWHERE)

    def written(self) -> Iterator[Place]:
        """Yield the place of every value and every key."""
        yield from self.places.values()
        yield from self.keys.values()


def merge(parent: Document, child: Document) -> Document:
    """Return `parent` overridden by `child`: mappings merge key by key,
    all else is replaced whole.
    """
    # A parent's place goes with its value, so that no fault points at what is not in force.
    replaced = _find_replaced(parent.value, child.value)
    kept = {path: place for path, place in parent.places.items() if not _is_inside(path, replaced)}
    kept_keys = {
        path: place for path, place in parent.keys.items() if not _is_inside(path, replaced)
    }
    return Document(
        _merge_values(parent.value, child.value),
        kept | dict(child.places),
        kept_keys | dict(child.keys),
    )


def set_path(document: Document, path: Path, value: Document) -> Document:
    """Return the document with the value at `path` replaced;
    mappings on the way are made where absent.

    Raises:
        SpecError: S011, an index beyond a list's end or a key into something that holds no keys.
    """
    place = value.place(())
    replaced = _set_value(document.value, path, value.value, place, path)
    places = _drop_below(document.places, path)
    places |= {path[:end]: place for end in range(1, len(path)) if path[:end] not in places}
    places |= {path + below: written for below, written in value.places.items()}
    keys = _drop_below(document.keys, path) | {path: place}
    keys |= {path + below: written for below, written in value.keys.items()}
    return Document(replaced, places, keys)


def format_path(path: Path) -> str:
    """Return `blocks[2].growth_rate` for `("blocks", 2, "growth_rate")`;
    keys that are numbers in brackets too.
    """
    text = ""
    for part in path:
        is_index = text and _NUMBER.fullmatch(str(part))
        text += f"[{part}]" if is_index else f".{part}"
    return text.lstrip(".")


def drop_key(document: Document, key: str) -> Document:
    """Return the document without a top-level key."""
    return drop_path(document, (key,))


def drop_path(document: Document, path: Path) -> Document:
    """Return the document without what nested mappings say at a path, if they do."""
    places, keys = _drop_below(document.places, path), _drop_below(document.keys, path)
    return Document(_drop_value(document.value, path), places, keys)


def _drop_below(places: Mapping[Path, Place], path: Path) -> dict[Path, Place]:
    """The places of all values or keys but those at a path and below it."""
    return {known: place for known, place in places.items() if known[: len(path)] != path}


def _drop_value(values: Any, path: Path) -> Any:
    if not isinstance(values, dict) or path[0] not in values:
        return values
    if len(path) == 1:
        return {key: value for key, value in values.items() if key != path[0]}
    return {**values, path[0]: _drop_value(values[path[0]], path[1:])}


def format_value(value: Any) -> str:
    """Return a value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def shorten_value(value: Any) -> str:
    """Return a value as YAML writes it, on one line and of at most 40 characters."""
    text = format_value(value)
    text = text if len(text) <= 40 else f"{text[:37]}..."
    return text if text.isprintable() else repr(text)


def _merge_values(parent: Any, child: Any) -> Any:
    if not (isinstance(parent, dict) and isinstance(child, dict)):
        return child
    shared = {key: _merge_values(parent[key], child[key]) for key in parent.keys() & child.keys()}
    return {**parent, **child, **shared}


def _find_replaced(parent: Any, child: Any, path: Path = ()) -> set[Path]:
    """Paths below which nothing of the parent is left."""
    if not (isinstance(parent, dict) and isinstance(child, dict)):
        return {path}
    nested = (
        _find_replaced(parent[key], child[key], (*path, key))
        for key in parent.keys() & child.keys()
    )
    return set().union(*nested)


def _is_inside(path: Path, roots: set[Path]) -> bool:
    return any(path[:end] in roots for end in range(len(path) + 1))


def _set_value(holder: Any, path: Path, value: Any, place: Place, whole: Path) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        length = len(holder) if isinstance(holder, list) else 0
        if head >= length:
            what = f"an index below {length}" if length else "a key: there is no list"
            raise SpecError.one("S011", f"{format_path(whole)}: {head} must be {what}", place)
        items = list(holder)
        items[head] = _set_value(items[head], rest, value, place, whole)
        return items
    if holder is not None and not isinstance(holder, dict):
        what = "below a mapping, not a value"
        if isinstance(holder, list):
            what = "an index of the list"
        raise SpecError.one("S011", f"{format_path(whole)}: {head!r} must be {what}", place)
    return {**(holder or {}), head: _set_value((holder or {}).get(head), rest, value, place, whole)}
