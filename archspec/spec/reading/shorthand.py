"""Short forms of a spec, written out in its document so that `extends`,
`--set` and places know one form alone.

block_config: [6, 12]      blocks: [{layers: 6}, {layers: 12}]
head: pooled               head: {steps: pooled}
stem: [norm, activation]   stem: {steps: [norm, activation]}
norm: group                norm: {kind: group}
connectivity: log          connectivity: {rule: log}

In a recipe, the first two in its `data`:
auto_augment: augmix       auto_augment: {kind: augmix}
random_erasing: 0.25       random_erasing: {probability: 0.25}
recompute: layer           recompute: {kind: layer}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.settings import Path
from archspec.spec.reading.document import Document, drop_key
from archspec.spec.steps import ActivationSpec, NormSpec

ALONE: Mapping[str, str] = {
    "stem": "steps",
    "transition": "steps",
    "head": "steps",
    "norm": "kind",
    "activation": "kind",
    "connectivity": "rule",
}
"""What a name that stands in place of a mapping says; steps may be a list too.
So may each of `transitions`."""

ALONE_IN_RECIPE: Mapping[tuple[str, ...], str] = {
    ("data", "auto_augment"): "kind",
    ("data", "random_erasing"): "probability",
    ("recompute",): "kind",
}
"""What a name or number in a recipe says that stands in place of a mapping, by its path."""

# What a child's own value leaves nothing of in the parent's part.
_REPLACED: Mapping[str, tuple[str, ...]] = {
    "stem": ("kernel", "stride", "norm", "pool"),
    "transition": ("pool",),
}
_KINDS: Mapping[str, str] = {"norm": NormSpec().kind, "activation": ActivationSpec().kind}
"""What has settings of a kind, and the kind where none is said."""


def expand_short_forms(document: Document) -> Document:
    """Return the document with its short forms written out,
    every value at the place where it was written.
    """
    document = _expand_block_config(document)
    for part, alone in ALONE.items():
        document = _expand_alone(document, (part,), alone)
    for index in range(_count_items(document, "transitions")):
        document = _expand_alone(document, ("transitions", index), "steps")
    for index in range(_count_items(document, "blocks")):
        if isinstance(document.value["blocks"][index], dict):
            document = _expand_alone(document, ("blocks", index, "connectivity"), "rule")
    return document


def expand_recipe(document: Document) -> Document:
    """Return a recipe's document with its short forms written out."""
    for path, alone in ALONE_IN_RECIPE.items():
        given: Any = document.value
        for key in path:
            given = given.get(key) if isinstance(given, dict) else None
        if _is_scalar(given):
            document = _write_out(document, path, alone, given)
    return document


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _count_items(document: Document, key: str) -> int:
    listed = document.value.get(key)
    return len(listed) if isinstance(listed, (list, tuple)) else 0


def expand_path(path: Path) -> Path:
    """Return the path below `blocks` that one below `block_config` is short for."""
    if path[0] != "block_config":
        return path
    return ("blocks", path[1], "layers") if len(path) == 2 else ("blocks", *path[1:])


def drop_uninherited(parent: Document, child: Document) -> Document:
    """Return what a child that extends the parent takes over of it:
    another network has another name.
    """
    parent = drop_key(drop_key(parent, "name"), "published")
    if "connectivity" in child.value:  # rules share no settings: all of it is replaced
        parent = drop_key(parent, "connectivity")
    for part, settings in _REPLACED.items():
        if "steps" in _mapping_at(child, part):
            parent = _drop_settings(parent, part, settings)
    # The settings of one kind, such as a group norm's groups, would be faults of another.
    for part, usual in _KINDS.items():
        kinds = [_mapping_at(document, part).get("kind", usual) for document in (parent, child)]
        if "kind" in _mapping_at(child, part) and kinds[0] != kinds[1]:
            parent = drop_key(parent, part)
    return parent


def _mapping_at(document: Document, part: str) -> Mapping[str, Any]:
    found = document.value.get(part)
    return found if isinstance(found, dict) else {}


def _drop_settings(document: Document, part: str, settings: tuple[str, ...]) -> Document:
    left = {key: value for key, value in _mapping_at(document, part).items() if key not in settings}
    gone = {(part, setting) for setting in settings}
    places = {path: place for path, place in document.places.items() if path[:2] not in gone}
    keys = {path: place for path, place in document.keys.items() if path[:2] not in gone}
    return Document(
        {**document.value, **({part: left} if part in document.value else {})}, places, keys
    )


def _expand_alone(document: Document, path: Path, alone: str) -> Document:
    """A bare name or list of steps becomes the one setting that it says."""
    holder = document.value
    for key in path[:-1]:
        holder = holder[key]
    given = holder.get(path[-1]) if isinstance(holder, dict) else holder[path[-1]]
    if not isinstance(given, (str, list, tuple) if alone == "steps" else str):
        return document
    return _write_out(document, path, alone, given)


def _write_out(document: Document, path: Path, alone: str, given: Any) -> Document:
    places = {_move_path(old, path, alone): place for old, place in document.places.items()}
    places[path] = document.place(path)
    keys = {}
    for old, place in document.keys.items():
        # The part's own key stays where it was written: it is `head` in both forms.
        keys[_move_path(old, path, alone) if len(old) > len(path) else old] = place
    return Document(_set_value(document.value, path, {alone: given}), places, keys)


def _move_path(old: Path, path: Path, alone: str) -> Path:
    return (*path, alone, *old[len(path) :]) if old[: len(path)] == path else old


def _set_value(holder: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(holder, dict):
        return {**holder, key: _set_value(holder.get(key), rest, value)}
    items: Any = list(holder)
    items[key] = _set_value(items[key], rest, value)
    return items


def _expand_block_config(document: Document) -> Document:
    """What is no list becomes `blocks` as it is, and both keys side by side stay:
    validation_errors.py tells the user.
    """
    if "block_config" not in document.value or "blocks" in document.value:
        return document
    config = document.value["block_config"]
    places = dict(document.places)
    for path in document.places:
        if path[:1] == ("block_config",):
            del places[path]
    places[("blocks",)] = document.place(("block_config",))
    entries = config
    if isinstance(config, (list, tuple)):
        entries = [{"layers": layers} for layers in config]
        for index in range(len(entries)):
            place = document.place(("block_config", index))
            places |= {("blocks", index): place, ("blocks", index, "layers"): place}
    value = {key: given for key, given in document.value.items() if key != "block_config"}
    # The keys stay: by them a fault is told in the words of the short form.
    return Document({**value, "blocks": entries}, places, document.keys)
