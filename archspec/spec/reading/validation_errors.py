"""What pydantic found, in the user's words:
field, value, rule, place, and the nearest key for a typo.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from archspec.errors import Diagnostic, Place
from archspec.operators.table import called_elsewhere, norm_name
from archspec.settings import Path
from archspec.spec.reading.document import Document, format_path, shorten_value
from archspec.spec.reading.misplaced_keys import (
    hint_at_kind,
    hint_at_other_file,
    hint_at_own_place,
)
from archspec.spec.reading.shorthand import ALONE, ALONE_IN_DATA
from archspec.spec.written_model import WrittenModel

# Keys that users of other zoos know -> what to write here.
KEYS_OF_OTHERS: Mapping[str, str] = {
    "num_init_features": "stem.channels",  # torchvision
    "init_channels": "stem.channels",  # MMPretrain
    "nb_filter": "stem.channels",  # Keras
    "bn_size": "bottleneck",  # torchvision, timm
    "bn_width": "bottleneck",
    "reduction": "compression",  # Keras, MMPretrain
    "theta": "compression",
    "compression_rate": "compression",
    "compression_factor": "compression",  # MMPretrain
    "k": "growth_rate",
    "growth": "growth_rate",
    "nb_layers": "block_config",
    "nb_layers_per_block": "block_config",  # Keras
    "layers_per_block": "block_config",
    "depths": "block_config",  # MMPretrain
    "depth": "block_config, the layers of each block",  # Keras
    "nb_dense_block": "block_config, the layers of each block",  # Keras
    "num_layers": "block_config, or the layers of each of `blocks`",
    "dropout_rate": "drop_rate",  # Keras
    "proj_drop_rate": "drop_rate",  # timm
    "dropout": "drop_rate, or head.dropout for the classifier",
    "num_classes": "head.num_classes",
    "classes": "head.num_classes",
    "in_chans": "input.channels",  # timm
    "in_channels": "input.channels",
    "image_size": "input.height and input.width",
    "input_size": "input.height and input.width",
    "input_shape": "input.channels, input.height and input.width",  # Keras
    "act": "activation",
    "act_layer": "activation",  # timm
    "act_cfg": "activation",  # MMPretrain
    "norm_layer": "norm",  # timm
    "norm_cfg": "norm",  # MMPretrain
    "bn_eps": "norm.eps",
    "negative_slope": "slope",  # torch
    "min_val": "low",  # torch
    "max_val": "high",  # torch
    "init_values": "initial",  # timm
    "layer_scale_init_value": "initial, of a step scale",  # timm
    "memory_efficient": "nothing: it does not change the function",
    "aa_layer": "blur_pool, a step of the stem and of transitions",  # timm
    "arch": "extends: densenet121, and what differs",  # MMPretrain
    "out_indices": "features, which count blocks from 1",  # MMPretrain, timm
    "features_only": "features, and head: none",  # timm
    "frozen_stages": "nothing: it does not change the function",  # MMPretrain
    "global_pool": "head.steps",  # timm
    "pooling": "head.steps",  # Keras
    "include_top": "head: none, for features alone",  # Keras
    "img_size": "input.height and input.width",
    "weights": "nothing: --pretrained, --ckpt and --init-from are flags",  # torchvision, Keras
    "pretrained": "nothing: --pretrained is a flag",  # timm
    "<<": "extends, for whole specs; YAML 1.2 has no merge keys",
}

# What belongs into the recipe, for a spec beside which no recipe is read.
KEYS_OF_RECIPES: Mapping[str, str] = {
    "weight_decay": "optimizer.weight_decay",
    "lr": "schedule.learning_rate",
    "learning_rate": "schedule.learning_rate",
    "epochs": "epochs",
    "epoch_size": "epochs",
    "batch_size": "batch_size",
    "optimizer": "optimizer",
}

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

_UNKNOWN = "extra_forbidden"
_NAMED = re.compile(r"(?:did you mean '|write )(\w+)")
"""Of a hint: the key that it names."""
_ROW_OF_NUMBERS = re.compile(r"\(?\s*\d[\d.]*([\s,;]+\d[\d.]*)*[\s,;]*\)?")

_IMPLIED = frozenset({*ALONE.values(), *ALONE_IN_DATA.values()})
"""Keys that short forms leave out."""

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
    unknown = [detail for detail in details if detail["type"] == _UNKNOWN]
    meant = {_meant_by(detail, model, document, beside) for detail in unknown}
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


def _meant_by(
    detail: Mapping[str, Any],
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Path:
    """Where an unknown key would stand if it were the one that it is taken for.

    Where that key must be there, the line about the unknown one says it all.
    """
    path = _path_in_document(detail["loc"], document.value)
    named = _NAMED.match(_hint_at_key(path, detail["input"], model, document, beside))
    key = named.group(1) if named else ""
    return (*detail["loc"][:-1], "blocks" if key == "block_config" else key)


def _make_diagnostics(
    detail: Mapping[str, Any],
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Iterator[Diagnostic]:
    if detail["type"] == _UNKNOWN:
        path = _path_in_document(detail["loc"], document.value)
        yield _report_unknown_key(path, detail["input"], model, document, beside)
        return
    if detail["type"] != "broken_rules":
        yield _make_diagnostic(detail, model, document)
        return
    for below, message in detail["ctx"]["faults"]:
        place = document.place((*_path_in_document(detail["loc"], document.value), *below))
        yield Diagnostic("S006", message, str(place))


def _make_diagnostic(
    detail: Mapping[str, Any], model: type[BaseModel], document: Document
) -> Diagnostic:
    kind, context = detail["type"], detail.get("ctx", {})
    path = _path_in_document(detail["loc"], document.value, kind == "missing")
    if kind == "missing" and not (
        path == ("growth_rate",) and path in document.places
    ):  # null is no growth rate
        return _report_missing_key(path, str(detail["loc"][-1]), document)
    if kind == "broken_rule":
        place = str(document.place((*path, *context["path"])))
        return Diagnostic("S006", context["message"], place)
    value, place = detail["input"], str(document.place(path))
    shown = f"{_format_as_written(path, document) or 'the file'} (={shorten_value(value)})"
    hint = _find_hint(kind, path, value) or _hint_at_choice(value, context.get("expected", ""))
    if kind in _PARTS:
        hint = hint_at_kind(path, value, document.place(path), model) or hint
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


def _report_unknown_key(
    path: Path,
    value: Any,
    model: type[BaseModel],
    document: Document,
    beside: type[WrittenModel] | None,
) -> Diagnostic:
    place = document.place(path, key=True)
    if path == ("block_config",) and "blocks" in document.value:
        message = "block_config and blocks say the same thing; keep one"
        return Diagnostic("S006", message, str(place))
    written = _format_as_written(path, document)[:60]
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
    known = _known_keys(_find_model(model, path[:-1]), model)
    return (
        _called(key, known)
        or _hint_at_word(key, model)
        or hint_at_own_place(key, value, place, model)
        or (beside and path[1:] == () and hint_at_other_file(key, value, place, beside))
        or _hint_at_recipe(key, model)
        or _hint_at_nearest(key, known)
        or f"known keys: {', '.join(known)}"
    )


def _known_keys(owner: type[BaseModel], model: type[BaseModel]) -> list[str]:
    return [
        *owner.model_fields,
        *(("block_config",) if "blocks" in owner.model_fields else ()),
        *(("extends",) if owner is model else ()),
    ]


def _hint_at_word(key: str, model: type[BaseModel]) -> str:
    """What users of other zoos call so; a model may have words of its own."""
    is_of_specs = not getattr(model, "FOREIGN_KEYS", {})
    written = KEYS_OF_OTHERS.get(key.lower()) if is_of_specs else None
    return f"write {written}" if written else ""


def _hint_at_recipe(key: str, model: type[BaseModel]) -> str:
    is_of_specs = not getattr(model, "FOREIGN_KEYS", {})
    written = KEYS_OF_RECIPES.get(key.lower()) if is_of_specs else None
    return f"write {written} (in the recipe)" if written else ""


def _hint_at_nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _report_missing_key(path: Path, key: str, document: Document) -> Diagnostic:
    """A step that is its kind alone has no key in the document: then `path` is the step's own."""
    holder = path[:-1] if path[-1:] == (key,) else path
    owner = _format_as_written(holder, document) or "the file"
    hint = "or its short form block_config" if path == ("blocks",) else ""
    place = str(document.place(holder))
    return Diagnostic("S002", f"{owner} must have the key {key!r}", place, hint)


def _format_as_written(path: Path, document: Document) -> str:
    """Return `block_config[1]` for that entry's `blocks[1].layers`,
    `stem[0]` for `stem.steps[0]`, else the path.
    """
    path = tuple(
        part
        for at, part in enumerate(path)
        if part not in _IMPLIED or path[: at + 1] in document.keys or not at
    )
    is_short = ("block_config",) in document.keys and ("blocks",) not in document.keys
    is_entry = (
        path[:1] == ("blocks",) and path[2:] in ((), ("layers",)) and path not in document.keys
    )
    return format_path(("block_config", *path[1:2]) if is_short and is_entry else path)


def _format_interval(model: type[BaseModel], path: Path) -> str:
    """Return `(0, 1]` from the constraints of the field at `path`,
    or '' where it has not both bounds.
    """
    field = next((part for part in reversed(path) if isinstance(part, str)), "")
    properties = _find_model(model, path[:-1]).model_json_schema()["properties"]
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


def _find_model(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Follow field names through nested models; indices stay in the list's item model."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _find_nested_model(field.annotation) or model
    return model


def _find_nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_find_nested_model, get_args(annotation))), None)


def _path_in_document(location: tuple[str | int, ...], value: Any, absent: bool = False) -> Path:
    """Drop the parts of pydantic's location that name a union's member and no key of the document.

    The last part of an `absent` key's location is the key.
    """
    path: list[str | int] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(value, dict) and (part in value or (is_last and absent)):
            value = value.get(part)
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path.append(part)
    return tuple(path)


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


def _called(word: str, choices: Sequence[str]) -> str:
    """What is called so elsewhere, where it is one of the choices or a step may say it."""
    row = called_elsewhere(word)
    if row is None:
        return ""
    name = row.step.name if row.step else norm_name(row.kind) if row.family == "norm" else row.kind
    if name in choices:
        return f"did you mean {name!r}?"
    is_a_step = row.family in choices and "conv" in choices
    return f"write {{{row.family}: {name}}}" if is_a_step else ""


def _hint_at_choice(value: Any, expected: str) -> str:
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(", ")]
    called = _called(str(value), choices)
    if called:
        return called
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
