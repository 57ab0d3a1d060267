"""Whether a changed spec is still the network that it was, and what is said of one that is not.

A network is its body: another number of classes, another image size and dropout leave it what it
is, as they leave its weights usable but for the classifier's. Published figures are of the very
spec alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from archspec.errors import format_count
from archspec.operators.table import IN_TRAINING, STEPS
from archspec.settings import Path
from archspec.spec.reading.document import Document, drop_key, format_path, format_value
from archspec.spec.reading.shorthand import ALONE, expand_path
from archspec.spec.spec import Spec

WORDS = ("name", "description", "source", "published")
"""Keys that say nothing of what is computed."""
MAX_NAME = 64
MAX_VALUE = 40
"""Characters of a value that a description shows."""
MAX_LISTED = 5
"""Settings that a description lists."""

_OF_TRAINING = IN_TRAINING | {"drop_rate", "drop_after"}
_STEPS_OF_TRAINING = frozenset(name for name, row in STEPS.items() if row.is_of_training)
_OF_THE_TASK = (("head", "num_classes"), ("input", "height"), ("input", "width"))


def comparable_values(spec: Spec) -> Any:
    """Return plain values, equal where two specs say one network, whatever its task and name."""
    values = _compute_values(spec)
    values["input"] = {"channels": spec.input.channels}
    values["head"] = values["head"]["steps"]
    return _without_training(values)


def drop_stale_words(parent: Document, changed: Document, said: Mapping[Path, Any]) -> Document:
    """Return the changed document without the words in it that hold of its parent alone.

    `said` is what changed it. Figures go, and a description says what was changed; where that is
    the body, source, description and name go too. Words that were `said` stay.
    """
    was, now = _parse_spec(parent), _parse_spec(changed)
    # A spec that breaks rules is left as it is: its faults are to be told of what was written.
    if now is None or (was is not None and _compute_values(was) == _compute_values(now)):
        return changed
    is_same = was is not None and comparable_values(was) == comparable_values(now)
    settings = {path: value for path, value in said.items() if _is_change(path, was, now)}
    words = {
        "published": None,
        "description": f"{parent.value['name']} with {_list_settings(settings)}",
    }
    if is_same and changed.value.get("description"):
        words.pop("description")
    if not is_same:
        words["source"] = None
    if not is_same and "name" in changed.value:
        words["name"] = name_variant(parent.value["name"], settings)
    return _replace_words(changed, {key: words[key] for key in words if (key,) not in said})


def name_variant(parent: str, settings: Mapping[Path, Any]) -> str:
    """Return the name of what settings make of a parent: `densenet121_growth_rate_24`."""
    of_the_body = {path: value for path, value in settings.items() if path not in _OF_THE_TASK}
    told = [f"{key}_{said}" for key, said in _write_short(of_the_body)]
    words = "_".join([parent, *told])
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", words).strip("_")
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}_{sha256(words.encode()).hexdigest()[:8]}"


def walk_leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield what nested mappings say, each value with its path."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from walk_leaves(item, (*path, key))


def _parse_spec(document: Document) -> Spec | None:
    try:
        return Spec.model_validate(document.value)
    except ValidationError:
        return None


def _compute_values(spec: Spec) -> dict[str, Any]:
    """Plain values, a default that is said like one that is not."""
    values = {key: value for key, value in spec.resolved().items() if key not in WORDS}
    values["connectivity"]["rule"] = spec.connectivity.kind
    values["growth_multiplier"] = spec.growth_multiplier or 1.0
    transitions = spec.transitions_in_order()
    values["transitions"] = [each.model_dump(mode="json") for each in transitions]
    return {key: value for key, value in values.items() if key not in ("transition", "compression")}


def _without_training(value: Any) -> Any:
    """What does nothing in evaluation is no part of a network."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _OF_TRAINING}
        return {key: _without_training(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_without_training(item) for item in value if not _is_dropout(item)]
    return value


def _is_dropout(step: Any) -> bool:
    kinds = step if isinstance(step, dict) else (step,)
    return any(kind in _STEPS_OF_TRAINING for kind in kinds if isinstance(kind, str))


def _is_change(path: Path, was: Spec | None, now: Spec) -> bool:
    """Does what is said change anything, and is no word?"""
    if path[0] in WORDS:
        return False
    return was is None or _value_at(was.resolved(), path) != _value_at(now.resolved(), path)


def _value_at(value: Any, path: Path) -> Any:
    """The value at a path, or what encloses it where there is a short form."""
    for part in expand_path(path):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return value


def _replace_words(document: Document, words: Mapping[str, str | None]) -> Document:
    """The document with these words, or without those that are None; nobody wrote them."""
    for key in words:
        document = drop_key(document, key)
    said = {key: value for key, value in words.items() if value is not None}
    return Document({**document.value, **said}, document.places, document.keys)


def _list_settings(settings: Mapping[Path, Any]) -> str:
    texts = []
    for key, said in _write_short(settings):
        texts.append(f"{key}={said}" if len(said) <= MAX_VALUE else f"{key} of its own")
    more = [f"{format_count(len(texts) - MAX_LISTED, 'setting')} more"] * (len(texts) > MAX_LISTED)
    return ", ".join([*texts[:MAX_LISTED], *more]) or "other settings"


def _are_layers_alone(blocks: Any) -> bool:
    return isinstance(blocks, (list, tuple)) and all(
        isinstance(block, dict) and [*block] == ["layers"] for block in blocks
    )


def _write_short(settings: Mapping[Path, Any]) -> Iterator[tuple[str, str]]:
    """Yield `growth_rate`, `24` for each setting, short forms as people write them."""
    for path, value in settings.items():
        if path[1:] and ALONE.get(str(path[-2])) == path[-1]:
            path = path[:-1]
        if path == ("blocks",) and _are_layers_alone(value):
            path, value = ("block_config",), [block["layers"] for block in value]
        yield format_path(path), format_value(value).replace("'", "")
