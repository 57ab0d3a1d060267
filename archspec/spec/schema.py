"""The JSON Schemas of specs and recipes as people write them,
for an editor's completion and checks.

Pydantic knows the long forms alone: the short ones (archspec/spec/reading/shorthand.py), `extends`
and the names of the templates are added here. Rules between fields are left to `densenet check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from archspec.operators.widths import WIDTH
from archspec.spec.block import LAYER
from archspec.spec.steps import Step
from archspec.spec.templates import load_templates
from archspec.spec.written_model import WrittenModel

Schema = dict[str, Any]

EXTENDS = "A shipped name, or a path from this file's folder; what that file says holds where this one says nothing."
BLOCK_CONFIG = "Layers of each block. To say more of one, write blocks: [{layers: 6, growth_rate: 24}, {layers: 12}]"

# The setting that may stand alone in place of the mapping it belongs to: `norm: group`, `head:
# pooled`.
_STANDS_ALONE: Mapping[str, str] = {
    "NormSpec": "kind",
    "ActivationSpec": "kind",
    "ConnectivitySpec": "rule",
    "StemSpec": "steps",
    "TransitionSpec": "steps",
    "HeadSpec": "steps",
}

# Which file of specs/templates names what a setting may hold.
_TEMPLATES: Mapping[tuple[str, str], str] = {
    ("Spec", "layer"): "layers",
    ("BlockSpec", "layer"): "layers",
    ("BlockSpec", "layer_at"): "layers",
    ("StemSpec", "steps"): "stems",
    ("AggregateSpec", "steps"): "transitions",
    ("TransitionSpec", "steps"): "transitions",
    ("TransitionSpec", "after"): "transitions",
    ("HeadSpec", "steps"): "heads",
}

# A width as pydantic sees it, and as it is (archspec/spec/steps.py).
_NUMBER_OR_TEXT = [{"type": "integer"}, {"type": "string"}]
_WIDTHS = [
    {"type": "integer", "minimum": 1, "maximum": 65_536},
    {"type": "string", "pattern": f"^{WIDTH.pattern}$"},
]


def schema_of(model: type[WrittenModel]) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a file that holds a model,
    a `Spec` or a `Recipe`.
    """
    schema = _make_schema(model)
    required = schema.pop("required")
    needed: list[Schema] = [{"required": required}]
    if "global_batch" in model.model_fields:  # which a recipe may give instead
        needed = [
            {"required": [*(set(required) - {"batch_size"}), key]}
            for key in ("batch_size", "global_batch")
        ]
    keys: Schema = {"extends": {"description": EXTENDS, "type": "string"}}
    if "blocks" in model.model_fields:
        layers = schema["$defs"]["BlockSpec"]["properties"]["layers"]
        count = {key: value for key, value in layers.items() if key != "description"}
        keys["block_config"] = {
            **schema["properties"]["blocks"],
            "items": count,
            "description": BLOCK_CONFIG,
        }
        schema["not"] = {"required": ["blocks", "block_config"]}
        own_growth = {"blocks": {"items": {"required": ["growth_rate"]}}}
        needed = [{"required": ["growth_rate", key]} for key in ("block_config", "blocks")]
        needed.append({"required": ["blocks"], "properties": own_growth})
    schema["properties"] = {**keys, **schema["properties"]}
    return _add_title(
        model.__name__.lower(), {**schema, "anyOf": [{"required": ["extends"]}, *needed]}
    )


def templates_schema() -> Schema:
    """Return the JSON Schema of the files of specs/templates."""
    return _add_title(
        "templates",
        {"description": "Named lists of steps.", **_make_schema(dict[str, tuple[Step, ...]])},
    )


def _add_title(name: str, schema: Schema) -> Schema:
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {
        "$schema": draft,
        "$id": f"urn:densenet-archspec:{name}",
        "title": f"densenet {name}",
        **schema,
    }


def _make_schema(kind: type[BaseModel] | Any) -> Schema:
    schema: Schema = _simplify(TypeAdapter(kind).json_schema())
    own = {kind.__name__: schema} if "properties" in schema else {}
    for name, part in {**schema["$defs"], **own}.items():
        for field, setting in part["properties"].items():
            _complete(name, field, setting, schema["$defs"])
    for name in schema["$defs"].keys() & _STANDS_ALONE.keys():
        setting = schema["$defs"][name]["properties"][_STANDS_ALONE[name]]
        alone = {
            key: value for key, value in setting.items() if key not in ("description", "default")
        }
        schema["$defs"][name] = _allow_either(schema["$defs"][name], alone)
    if "StepSpec" in schema["$defs"]:
        schema["$defs"]["StepSpec"] = _make_step_schema(schema["$defs"])
    return schema


def _complete(owner: str, field: str, setting: Schema, parts: Schema) -> None:
    """Say what pydantic does not know of a field,
    and what a field without words of its own holds.
    """
    if (owner, field) in _TEMPLATES:
        by_layer = setting.get("additionalProperties")
        setting |= {"propertyNames": {"pattern": f"^{LAYER.pattern}$"}} if by_layer else {}
        (by_layer or setting)["oneOf"][0] = {"enum": [*load_templates(_TEMPLATES[owner, field])]}
    if setting.get("anyOf") == _NUMBER_OR_TEXT:
        setting["anyOf"] = _WIDTHS
    if "$ref" in setting:
        setting.setdefault("description", parts[setting["$ref"].rpartition("/")[2]]["description"])


def _make_step_schema(parts: Schema) -> Schema:
    """One kind of step with its settings, or, where none is needed, without."""
    step = parts["StepSpec"]
    kinds = {kind: value for kind, value in step["properties"].items() if kind != "name"}
    bare = [
        kind
        for kind, value in kinds.items()
        if "required" not in parts[value["$ref"].rpartition("/")[2]]
    ]
    kinds |= {kind: _allow_either(kinds[kind], {"type": "null"}) for kind in bare}
    one = {
        "properties": {"name": step["properties"]["name"], **kinds},
        "oneOf": [{"required": [k]} for k in kinds],
    }
    return _allow_either({**step, **one}, {"enum": bare})


def _allow_either(long: Schema, short: Schema) -> Schema:
    """Return a schema of one or the other, described as the long form is."""
    words: Schema = {key: long[key] for key in ("description", "default") if key in long}
    return {
        **words,
        "anyOf": [{key: value for key, value in long.items() if key not in words}, short],
    }


def _simplify(schema: Any) -> Any:
    """Drop pydantic's titles, line breaks, and null, which nobody writes for what is absent."""
    if isinstance(schema, list):
        return [_simplify(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _simplify(value) for key, value in schema.items() if value is not None}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())
    parts = [part for part in kept.pop("anyOf", []) if part != {"type": "null"}]
    if len(parts) == 1:
        return {**kept, **parts[0]}
    return {**kept, "anyOf": parts} if parts else kept
