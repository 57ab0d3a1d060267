"""What pydantic found, in the user's words: field, value, rule, place, and the nearest key for a typo."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from archspec.errors import Diagnostic
from archspec.spec.document import Document, Path, dotted

# Keys that users of other zoos know -> what to write here.
ELSEWHERE: Mapping[str, str] = {
    "num_init_features": "stem.channels",  # torchvision
    "init_channels": "stem.channels",  # MMPretrain
    "nb_filter": "stem.channels",  # Keras
    "bn_size": "bottleneck",  # torchvision, timm
    "bn_width": "bottleneck",
    "reduction": "compression",  # Keras, MMPretrain
    "theta": "compression",
    "compression_rate": "compression",
    "k": "growth_rate",
    "growth": "growth_rate",
    "nb_layers": "block_config",
    "layers_per_block": "block_config",
    "num_layers": "layers",
    "dropout_rate": "drop_rate",
    "dropout": "drop_rate, or head.dropout for the classifier",
    "num_classes": "head.num_classes",
    "classes": "head.num_classes",
    "in_chans": "input.channels",  # timm
    "in_channels": "input.channels",
    "image_size": "input.height and input.width",
    "input_size": "input.height and input.width",
    "act": "activation",
    "act_layer": "activation",
    "norm_layer": "norm",
    "bn_eps": "norm.eps",
    "memory_efficient": "nothing: it does not change the function",
    "lr": "learning_rate (in the recipe)",
    "epoch_size": "epochs (in the recipe)",
}

_TYPES: Mapping[str, str] = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
}

_RULES: Mapping[str, str] = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "literal_error": "must be one of {expected}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
}


def diagnose(error: ValidationError, model: type[BaseModel], document: Document) -> tuple[Diagnostic, ...]:
    """Return one diagnostic for each fault in `error`, in the order in which they stand in the file."""
    found = [_diagnostic(detail, model, document) for detail in error.errors(include_url=False)]
    return tuple(sorted(found, key=_reading_order))


def _reading_order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    file, _, rest = diagnostic.where.partition(":")
    numbers = [int(part) for part in rest.split(":")[-2:] if part.isdigit()]
    line, column = numbers if len(numbers) == 2 else (0, 0)
    return file, line, column


def _diagnostic(detail: Mapping[str, Any], model: type[BaseModel], document: Document) -> Diagnostic:
    kind, context = detail["type"], detail.get("ctx", {})
    path = _real_path(detail["loc"], document.value)
    if kind == "extra_forbidden":
        return _unknown_key(path, model, document)
    if kind == "missing":
        owner = dotted(path[:-1]) or "the spec"
        return Diagnostic("S002", f"{owner} must have the key {path[-1]!r}", document.place(path[:-1]))
    if kind == "broken_rule":
        return Diagnostic("S006", context["message"], document.place((*path, context["field"])))
    shown = f"{dotted(path) or 'the file'} (={_short(detail['input'])})"
    if kind in _TYPES:
        return Diagnostic(
            "S003", f"{shown} {_TYPES[kind]}", document.place(path), _hint(path, detail["input"])
        )
    rule = _RULES.get(kind)
    if rule is None:
        return Diagnostic("S003", f"{shown}: {detail['msg']}", document.place(path))
    code = "S005" if kind == "literal_error" else "S004"
    hint = _hint(path, detail["input"]) or _nearest_choice(detail["input"], context.get("expected", ""))
    return Diagnostic(code, f"{shown} {rule.format(**context)}", document.place(path), hint)


def _unknown_key(path: Path, model: type[BaseModel], document: Document) -> Diagnostic:
    key = str(path[-1])
    owner = _model_at(model, path[:-1])
    known = [*owner.model_fields, *(("block_config", "extends") if owner is model else ())]
    near = difflib.get_close_matches(key, known, n=1)
    elsewhere = ELSEWHERE.get(key)
    if elsewhere in known and elsewhere == key:
        elsewhere = None
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif elsewhere:
        hint = f"here it is called {elsewhere}"
    else:
        hint = f"known keys: {', '.join(known)}"
    return Diagnostic("S001", f"unknown key {dotted(path)!r}", document.place(path, key=True), hint)


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Follow field names through nested models; indices stay in the list's item model."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _nested_model(field.annotation) or model
    return model


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested_model, get_args(annotation))), None)


def _real_path(location: tuple[str | int, ...], value: Any) -> Path:
    """Drop the parts of pydantic's location that name a union's member and no key of the document."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(value, dict) and (part in value or is_last):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _hint(path: Path, value: Any) -> str:
    if path and path[-1] == "bottleneck" and value in (None, False, 0, "none"):
        return "for layers without a bottleneck write `layer: basic`"
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "without the quotes"
    if isinstance(value, bool):
        return "true and false are no numbers"
    return ""


def _nearest_choice(value: Any, expected: str) -> str:
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(str(value), choices, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
