"""Keys and words that are not known, and what is meant by them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from archspec.errors import Diagnostic
from archspec.operators.operator import Operator
from archspec.operators.table import (
    JOINS,
    STEPS,
    find_by_word,
    letters_of,
    norm_name,
    setting_meant_by,
)
from archspec.settings import Path
from archspec.spec.reading.document import Document
from archspec.spec.reading.document_paths import find_model, format_as_written, path_in_document
from archspec.spec.reading.foreign_keys import (
    KEYS_OF_OTHERS,
    KEYS_OF_RECIPES,
    SETTINGS_OF_OTHERS,
    STEPS_OF_OTHERS,
    WORDS_OF_NOTHING,
)
from archspec.spec.reading.misplaced_keys import hint_at_other_file, hint_at_own_place
from archspec.spec.written_model import WrittenModel

UNKNOWN_KEY = "extra_forbidden"
"""What pydantic calls its error."""

_NAMED = re.compile(r"(?:did you mean '|write )(\w+)")
"""Of a hint: the key that it names."""


def key_meant_by(
    detail: Mapping[str, Any],
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Path:
    """Return where an unknown key would stand if it were the one that it is taken for.

    Where that key must be there, the line about the unknown one says it all.
    """
    path = path_in_document(detail["loc"], document.value)
    named = _NAMED.match(_hint_at_key(path, detail["input"], model, document, beside))
    key = named.group(1) if named else ""
    return (*detail["loc"][:-1], "blocks" if key == "block_config" else key)


def report_unknown_key(
    path: Path,
    value: Any,
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Diagnostic:
    """Return the fault of a key that no model has, with what is meant by it or may stand there."""
    place = document.place(path, key=True)
    if path == ("block_config",) and "blocks" in document.value:
        message = "block_config and blocks say the same thing; keep one"
        return Diagnostic("S006", message, str(place))
    written = format_as_written(path, document)[:60]
    hint = _hint_at_key(path, value, model, document, beside)
    return Diagnostic("S001", f"unknown key {written!r}", str(place), hint)


def _hint_at_key(
    path: Path,
    value: Any,
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> str:
    key, place = str(path[-1]), document.place(path, key=True)
    known = _list_known_keys(find_model(model, path[:-1]), model)
    return (
        _translate_word(key, known)
        or _hint_at_word(key, known, model)
        or hint_at_own_place(key, value, place, model)
        or (beside and path[1:] == () and hint_at_other_file(key, value, place, beside))
        or _hint_at_recipe(key, model)
        or _hint_at_nearest(key, known)
        or f"known keys: {', '.join(known)}"
    )


def _list_known_keys(owner: type[BaseModel], model: type[BaseModel]) -> list[str]:
    return [
        *owner.model_fields,
        *(("block_config",) if "blocks" in owner.model_fields else ()),
        *(("extends",) if owner is model else ()),
    ]


def _hint_at_word(key: str, known: Sequence[str], model: type[BaseModel]) -> str:
    """What users of other zoos call so; a model may have words of its own."""
    if getattr(model, "FOREIGN_KEYS", {}):
        return ""
    written = SETTINGS_OF_OTHERS.get(key.lower(), "")
    # An operator's setting is offered where it may stand, or with its place.
    if written not in known and "," not in written:
        written = KEYS_OF_OTHERS.get(key.lower(), "")
    return f"write {written}" if written else ""


def _hint_at_recipe(key: str, model: type[BaseModel]) -> str:
    is_of_specs = not getattr(model, "FOREIGN_KEYS", {})
    written = KEYS_OF_RECIPES.get(key.lower()) if is_of_specs else None
    return f"write {written} (in the recipe)" if written else ""


def _hint_at_nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _translate_word(word: str, choices: Sequence[str]) -> str:
    """What is called so elsewhere, where it is one of the choices or a step may say it."""
    row = find_by_word(word)
    if row is not None and _name_of(row) in choices:
        setting = setting_meant_by(word)
        return _write_step(row, setting) if setting else f"did you mean {_name_of(row)!r}?"
    if row is None and any(map(find_by_word, choices)) and letters_of(word) in WORDS_OF_NOTHING:
        return WORDS_OF_NOTHING[letters_of(word)]
    are_steps = STEPS.keys() <= {*choices}
    return _translate_step(word, row, choices) if are_steps else ""


def _write_step(row: Operator, setting: str) -> str:
    """A step with a setting, and with those that it must have."""
    fields = row.step.settings.model_fields.items() if row.step else ()
    needed = (f"{name}: ..., " for name, field in fields if field.is_required())
    return f"write {{{_name_of(row)}: {{{''.join(needed)}{setting}}}}}"


def _name_of(row: Operator) -> str:
    if row.step:
        return row.step.name
    return norm_name(row.kind) if row.family == "norm" else row.kind


def _translate_step(word: str, row: Operator | None, steps: Sequence[str]) -> str:
    """What is written in place of a step that has no step of its own here."""
    written = STEPS_OF_OTHERS.get(letters_of(word), "")
    if written or row is None:
        return written
    if row.kind in JOINS:
        return f"write {{branches: {{join: {row.kind}, of: [...]}}}}"
    return f"write {{{row.family}: {_name_of(row)}}}" if row.family in steps else ""


def hint_at_choice(value: Any, expected: str) -> str:
    """Return which of the expected words another one is taken for, '' for none."""
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(", ")]
    called = _translate_word(str(value), choices)
    if called:
        return called
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
