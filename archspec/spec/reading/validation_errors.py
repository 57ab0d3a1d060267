"""What pydantic found, in the user's words: field, value, rule and place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from archspec.errors import Diagnostic, Place
from archspec.settings import Path
from archspec.spec.reading.document import Document, shorten_value
from archspec.spec.reading.document_paths import find_model, format_as_written, path_in_document
from archspec.spec.reading.misplaced_keys import hint_at_part
from archspec.spec.reading.unknown_keys import (
    UNKNOWN_KEY,
    hint_at_choice,
    key_meant_by,
    report_unknown_key,
)
from archspec.spec.written_model import WrittenModel

_TYPES: Mapping[str, str] = {
    "int_type": "must be a whole number",
    "missing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
}

_RULES: Mapping[str, str] = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "finite_number": "must be a finite number",
    "literal_error": "must be one of {expected}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
}

_OWN_RULES = ("width", "layer", "duration")
"""Kinds of errors of our own, whose message is the rule."""

_ROW_OF_NUMBERS = re.compile(r"\(?\s*\d[\d.]*([\s,;]+\d[\d.]*)*[\s,;]*\)?")


_NUMBERS = ("int_type", "int_from_float", "float_type")
_PARTS = ("model_type", "model_attributes_type")
_LISTS = ("tuple_type", "list_type")
_STEPS = (("transitions",), ("layer",), ("steps",), ("after",))
"""Lists whose items are no numbers."""
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")


def diagnose(
    error: ValidationError,
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None = None,
) -> tuple[Diagnostic, ...]:
    """Return one diagnostic for each fault in `error`,
    in the order in which they stand in the file.

    `beside` is the model of what is read beside it, in which a misplaced key may be at home.
    """
    details = [
        detail for detail in error.errors(include_url=False) if not _is_echo(detail, document)
    ]
    unknown = [detail for detail in details if detail["type"] == UNKNOWN_KEY]
    meant = {key_meant_by(detail, model, document, beside) for detail in unknown}
    found = (
        fault
        for detail in details
        if not (detail["type"] == "missing" and detail["loc"] in meant)
        for fault in _make_diagnostics(detail, model, document, beside)
    )
    return sort_by_place(found, document.written())


def sort_by_place(
    diagnostics: Iterable[Diagnostic], places: Iterable[Place]
) -> tuple[Diagnostic, ...]:
    """Return the faults at `places` in files line by line, then the others as they came."""
    lines = {str(place): (place.source, place.line, place.column) for place in places if place.line}
    listed = list(diagnostics)
    of_files = [fault for fault in listed if fault.where in lines]
    others = [fault for fault in listed if fault.where not in lines]
    return (*sorted(of_files, key=lambda fault: lines[fault.where]), *others)


def _is_echo(detail: Mapping[str, Any], document: Document) -> bool:
    """Pydantic counts the faulty entries of a list as missing,
    and where blocks are faulty, what they say.
    """
    if detail["type"] == "missing" and detail["loc"] == ("growth_rate",):
        blocks = document.value.get("blocks")
        listed = blocks if isinstance(blocks, (list, tuple)) else (None,)
        own = [isinstance(b, dict) and b.get("growth_rate") is not None for b in listed]
        return all(own)
    return detail["type"] == "too_short" and bool(
        len(detail["input"]) >= detail["ctx"]["min_length"]
    )


def _make_diagnostics(
    detail: Mapping[str, Any],
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Iterator[Diagnostic]:
    if detail["type"] == UNKNOWN_KEY:
        path = path_in_document(detail["loc"], document.value)
        yield report_unknown_key(path, detail["input"], model, document, beside)
        return
    if detail["type"] != "broken_rules":
        yield _make_diagnostic(detail, model, document)
        return
    for below, message in detail["ctx"]["faults"]:
        place = document.place((*path_in_document(detail["loc"], document.value), *below))
        yield Diagnostic("S006", message, str(place))


def _make_diagnostic(
    detail: Mapping[str, Any], model: type[BaseModel], document: Document
) -> Diagnostic:
    kind, context = detail["type"], detail.get("ctx", {})
    path = path_in_document(detail["loc"], document.value, kind == "missing")
    if kind == "missing" and not (
        path == ("growth_rate",) and path in document.places
    ):  # null is no growth rate
        return _report_missing_key(path, detail["loc"], document)
    if kind == "broken_rule":
        place = str(document.place((*path, *context["path"])))
        return Diagnostic("S006", context["message"], place)
    value, place = detail["input"], str(document.place(path))
    shown = f"{format_as_written(path, document) or 'the file'} (={shorten_value(value)})"
    hint = _find_hint(kind, path, value) or hint_at_choice(value, context.get("expected", ""))
    if kind in _PARTS:
        hint = hint_at_part(path, value, document.place(path), model) or hint
    if kind in _TYPES:
        return Diagnostic("S003", f"{shown} {_TYPES[kind]}", place, hint)
    if kind in _OWN_RULES:
        return Diagnostic("S004", f"{shown} {detail['msg']}", place)
    if kind not in _RULES:
        return Diagnostic("S003", f"{shown}: {detail['msg']}", place)
    # Pydantic tells of one bound at a time; whoever mends that should not meet the other.
    interval = _format_interval(model, path) if kind in _BOUNDS else ""
    rule = _state_rule(kind, context, interval)
    return Diagnostic("S005" if kind == "literal_error" else "S004", f"{shown} {rule}", place, hint)


def _state_rule(kind: str, context: Mapping[str, Any], interval: str) -> str:
    if interval:
        what = "must be a finite number" if kind == "finite_number" else "must be"
        return f"{what} in {interval}"
    rule = _RULES[kind].format(**context)
    return rule.replace("at least 1 entries", "at least 1 entry")


def _report_missing_key(path: Path, location: Path, document: Document) -> Diagnostic:
    """A step that is its kind alone has no key in the document: then `path` is the step's own, and
    pydantic's location tells the kind.
    """
    key = location[-1]
    holder = path[:-1] if path[-1:] == (key,) else path
    kind = location[-2:-1] if isinstance(path[-1], int) else ()
    owner = format_as_written((*holder, *kind), document) or "the file"
    hint = "or its short form block_config" if path == ("blocks",) else ""
    place = str(document.place(holder))
    return Diagnostic("S002", f"{owner} must have the key {key!r}", place, hint)


def _format_interval(model: type[BaseModel], path: Path) -> str:
    """Return `(0, 1]` from the constraints of the field at `path`,
    or '' where it has not both bounds.
    """
    field = next((part for part in reversed(path) if isinstance(part, str)), "")
    properties = find_model(model, path[:-1]).model_json_schema()["properties"]
    schema = _find_bounds(properties.get(field, {}))
    low = (
        f"[{schema['minimum']}" if "minimum" in schema else f"({schema.get('exclusiveMinimum', '')}"
    )
    high = (
        f"{schema['maximum']}]" if "maximum" in schema else f"{schema.get('exclusiveMaximum', '')})"
    )
    return "" if low == "(" or high == ")" else f"{low}, {high}".replace(".0", "")


def _find_bounds(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a field's JSON schema that has bounds:
    of an optional field or of a list's items too.
    """
    if any(key.lower().endswith("imum") for key in schema):
        return schema
    parts = [
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
        *([schema["items"]] if "items" in schema else []),
    ]
    return next(filter(None, map(_find_bounds, parts)), {})


def _find_hint(kind: str, path: Path, value: Any) -> str:
    if (
        kind in _LISTS
        and path[-1:] not in _STEPS
        and path[-2:-1] != ("layer_at",)
        and isinstance(value, (str, int, float))
    ):
        return _hint_at_brackets(path, str(value)[:100])
    if path[-1:] == ("bottleneck",) and value in (None, False, 0, "none"):
        return "for layers without a bottleneck write `layer: basic`"
    if path[:1] == ("blocks",) and len(path) == 2:
        return "the short form is `block_config: [6, 12]`"
    if kind in _NUMBERS and isinstance(value, bool):
        return "true and false are no numbers"
    if kind == "string_type" and isinstance(value, (int, float)):
        return "in quotes"
    if kind in {*_NUMBERS, "literal_error"} and _is_number(value):
        return "without the quotes"
    return ""


def _hint_at_brackets(path: Path, text: str) -> str:
    if not _ROW_OF_NUMBERS.fullmatch(text):
        return ""
    key = "block_config: " if path == ("blocks",) else ""
    return f"write {key}[{', '.join(re.findall(r'[0-9.]+', text))}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).isdecimal()
