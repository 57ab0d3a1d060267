"""Short forms of a spec, written out in its document so that `extends`, `--set` and places know one form alone.

block_config: [6, 12]      blocks: [{layers: 6}, {layers: 12}]
head: pooled               head: {steps: pooled}
stem: [norm, activation]   stem: {steps: [norm, activation]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.spec.document import Document, Path, without

PARTS = ("stem", "transition", "head")
"""Mappings that a bare template's name or list of steps may stand for; so may each of `transitions`."""

# What a child's own value leaves nothing of in the parent's part.
_REPLACED: Mapping[str, tuple[str, ...]] = {
    "stem": ("kernel", "stride", "norm", "pool"),
    "transition": ("pool",),
}


def expanded(document: Document) -> Document:
    """Return the document with its short forms written out, every value at the place where it was written."""
    document = _blocks(document)
    paths: list[Path] = [(part,) for part in PARTS]
    transitions = document.value.get("transitions")
    if isinstance(transitions, (list, tuple)):
        paths += [("transitions", index) for index in range(len(transitions))]
    for path in paths:
        document = _steps(document, path)
    return document


def inherited(parent: Document, child: Document) -> Document:
    """Return what a child that extends the parent takes over of it: another network has another name."""
    for key in ("name", "published", *(["connectivity"] if "connectivity" in child.value else [])):
        parent = without(parent, key)
    for part, settings in _REPLACED.items():
        if "steps" in _mapping(child, part):
            parent = _left_out(parent, part, settings)
    return parent


def _mapping(document: Document, part: str) -> Mapping[str, Any]:
    found = document.value.get(part)
    return found if isinstance(found, dict) else {}


def _left_out(document: Document, part: str, settings: tuple[str, ...]) -> Document:
    left = {key: value for key, value in _mapping(document, part).items() if key not in settings}
    gone = {(part, setting) for setting in settings}
    places = {path: place for path, place in document.places.items() if path[:2] not in gone}
    keys = {path: place for path, place in document.keys.items() if path[:2] not in gone}
    return Document({**document.value, **({part: left} if part in document.value else {})}, places, keys)


def _steps(document: Document, path: Path) -> Document:
    """A bare name or list becomes the part's `steps`."""
    holder = document.value
    for key in path[:-1]:
        holder = holder[key]
    given = holder.get(path[-1]) if isinstance(holder, dict) else holder[path[-1]]
    if not isinstance(given, (str, list, tuple)):
        return document
    places = {_moved(old, path): place for old, place in document.places.items()}
    places[path] = document.place(path)
    keys = {_moved(old, path) if len(old) > len(path) else old: place for old, place in document.keys.items()}
    return Document(_with(document.value, path, {"steps": given}), places, keys)


def _moved(old: Path, path: Path) -> Path:
    return (*path, "steps", *old[len(path) :]) if old[: len(path)] == path else old


def _with(holder: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(holder, dict):
        return {**holder, key: _with(holder.get(key), rest, value)}
    return [_with(item, rest, value) if index == key else item for index, item in enumerate(holder)]


def _blocks(document: Document) -> Document:
    """What is no list becomes `blocks` as it is, and both keys side by side stay: faults.py tells the user."""
    if "block_config" not in document.value or "blocks" in document.value:
        return document
    config = document.value["block_config"]
    entries = [{"layers": layers} for layers in config] if isinstance(config, (list, tuple)) else config
    places = {path: place for path, place in document.places.items() if path[:1] != ("block_config",)}
    places[("blocks",)] = document.place(("block_config",))
    for index in range(len(entries) if isinstance(entries, list) else 0):
        block = ("blocks", index)
        places |= dict.fromkeys([block, (*block, "layers")], document.place(("block_config", index)))
    value = {k: v for k, v in document.value.items() if k != "block_config"}
    return Document({**value, "blocks": entries}, places, document.keys)
