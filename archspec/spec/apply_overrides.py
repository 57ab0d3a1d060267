"""How what is set from outside a file gets into its document, where its key path leads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from archspec.errors import Diagnostic, Place, SpecError
from archspec.settings import Path
from archspec.spec.override import Override, Overrides, Setting, list_overrides
from archspec.spec.reading.dependent_settings import drop_meaningless
from archspec.spec.reading.document import Document, drop_key, set_path, shorten_value
from archspec.spec.reading.overwritten_settings import find_overwritten
from archspec.spec.reading.shorthand import expand_path, expand_recipe, expand_short_forms
from archspec.spec.reading.yaml_reader import MAX_DEPTH, read_value

MAX_KEY = 200
"""Characters in the key path of an override."""

_INDEX = re.compile(r"\[(\d+)\]")
_NUMBER = re.compile(r"[0-9]{1,6}")
_KEYED = ("layer_at",)
"""What has numbers for keys: none of them is an index."""


def read_overrides(overrides: Overrides) -> tuple[list[tuple[Path, Document]], list[Diagnostic]]:
    """Return the key paths and values of the overrides that can be read,
    and the faults of the others.
    """
    settings: list[tuple[Path, Document]] = []
    faults: list[Diagnostic] = []
    for given in list_overrides(overrides):
        try:
            settings.append(_read_override(given))
        except SpecError as error:
            faults.extend(error.diagnostics)
    return settings, faults


def _read_override(given: Setting | Override) -> tuple[Path, Document]:
    if isinstance(given, Override):
        setting, place = given.setting, given.place
    elif isinstance(given, str):
        setting, place = given, Place(f"--set {shorten_value(given)}", "command line")
    else:
        setting, place = given, Place(f"override {shorten_value(given[0])}", "python")
    if isinstance(setting, tuple):
        key, value = setting
        return _parse_key_path(key, place), Document(value, {(): place})
    key, equals, text = setting.partition("=")
    if not equals:
        raise SpecError.one("S011", "an override is key.path=value", place)
    return _parse_key_path(key, place), read_value(text, place)


def _parse_key_path(key: str, place: Place) -> Path:
    """`blocks[2].growth_rate` or `blocks.2.growth_rate` -> `("blocks", 2, "growth_rate")`."""
    parts = [part for part in _INDEX.sub(r".\1", key.strip()).split(".") if part]
    if not 1 <= len(parts) <= MAX_DEPTH or len(key) > MAX_KEY:
        raise SpecError.one("S011", "an override is key.path=value", place)
    path: list[str | int] = []
    for part in parts:
        holder = path[-1] if path else ""
        is_index = _NUMBER.fullmatch(part) and holder not in _KEYED
        path.append(int(part) if is_index else part)
    return tuple(path)


def apply_overrides(
    document: Document, settings: Sequence[tuple[Path, Document]], kind: str
) -> tuple[Document, list[Diagnostic]]:
    """Return the document with every setting that leads somewhere,
    and an S011 for each other one.
    """
    faults = list(find_overwritten(settings))
    expand = expand_recipe if kind == "recipe" else expand_short_forms
    for path, value in settings:
        # One after the other, each on the long form of what those before it left: a later
        # setting may go into what an earlier one made.
        if kind == "recipe":
            document = drop_meaningless(document, _nest(path, value.value))
        try:
            changed = _apply_setting(document, path, value)
        except SpecError as error:
            faults.extend(error.diagnostics)
        else:
            document = expand(changed)
    return document, faults


def _nest(path: Path, value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _apply_setting(document: Document, path: Path, value: Document) -> Document:
    if path[0] == "extends":
        raise SpecError.one(
            "S011", "extends cannot be overridden: name that spec instead", value.place(())
        )
    if len(path) > 1:
        path = expand_path(path)
    # Transitions that nobody listed are there all the same, and one of them may be set.
    if path[0] == "transitions" and len(path) > 1 and document.value.get("transitions") is None:
        document = _list_transitions(document)
    if path == ("block_config",):
        document = drop_key(document, "blocks")
    return set_path(document, path, value)


def _list_transitions(document: Document) -> Document:
    blocks = document.value.get("blocks")
    count = len(blocks) - 1 if isinstance(blocks, list) else 0
    return Document(
        {**document.value, "transitions": [{} for _ in range(count)]},
        document.places,
        document.keys,
    )
