"""The JSON Schemas of specs and recipes as people write them,
for an editor's completion and checks.

Pydantic knows the long forms alone: the short ones (archspec/spec/reading/shorthand.py), `extends`
and the names of the templates are added here. Rules between fields are left to `densenet check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from archspec.operators.named_widths import WIDTH
from archspec.spec.block import LAYER
from archspec.spec.field_docs import describe_fields
from archspec.spec.steps import Step
from archspec.spec.templates import load_templates
from archspec.spec.written_model import WrittenModel

Schema = dict[str, Any]

EXTENDS = (
    "A shipped name, or a path from this file's folder; "
    "what that file says holds where this one says nothing."
)
BLOCK_CONFIG = (
    "Layers of each block. "
    "To say more of one, write blocks: [{layers: 6, growth_rate: 24}, {layers: 12}]"
)

# The setting that may stand alone in place of the mapping it belongs to: `norm: group`, `head:
# pooled`.
_STANDS_ALONE: Mapping[str, str] = {
    "NormSpec": "kind",
    "ActivationSpec": "kind",
    "ConnectivitySpec": "rule",
    "StemSpec": "steps",
    "TransitionSpec": "steps",
    "HeadSpec": "steps",
    "PolicyRecipe": "kind",
    "ErasingRecipe": "probability",
    "RecomputeRecipe": "kind",
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


class _Described(GenerateJsonSchema):
    """With the words that stand beneath each field."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        for field, words in describe_fields(model).items():
            made["properties"][field].setdefault("description", words)
        return made


def schema_of(model: type[WrittenModel]) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a file that holds a model,
    a `Spec` or a `Recipe`.
    """
    schema = _make_schema(model)
    required = schema.pop("required")
    needed: list[Schema] = [{"required": required}]
    keys: Schema = {"extends": {"description": EXTENDS, "type": "string"}}
    if "global_batch" in model.model_fields:
        needed = _keys_a_recipe_needs(required)
    if "blocks" in model.model_fields:
        needed = _keys_a_spec_needs()
        keys["block_config"] = _make_block_config_schema(schema)
        schema["not"] = {"required": ["blocks", "block_config"]}
    schema["properties"] = {**keys, **schema["properties"]}
    # What a file that extends another leaves unsaid, its parent says.
    choices = [{"required": ["extends"]}, *needed]
    return _add_title(model.__name__.lower(), {**schema, "anyOf": choices})


def _keys_a_recipe_needs(required: list[str]) -> list[Schema]:
    """A recipe may give the batch of all devices in place of the batch of one."""
    others = set(required) - {"batch_size"}
    return [{"required": [*others, key]} for key in ("batch_size", "global_batch")]


def _keys_a_spec_needs() -> list[Schema]:
    """Blocks in one of their two forms, and a growth rate for all of them or one in each."""
    for_all = [{"required": ["growth_rate", key]} for key in ("block_config", "blocks")]
    each_its_own = {"blocks": {"items": {"required": ["growth_rate"]}}}
    return [*for_all, {"required": ["blocks"], "properties": each_its_own}]


def _make_block_config_schema(schema: Schema) -> Schema:
    layers = schema["$defs"]["BlockSpec"]["properties"]["layers"]
    count = {key: value for key, value in layers.items() if key != "description"}
    return {**schema["properties"]["blocks"], "items": count, "description": BLOCK_CONFIG}


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
    schema: Schema = _simplify(TypeAdapter(kind).json_schema(schema_generator=_Described))
    own = {kind.__name__: schema} if "properties" in schema else {}
    for name, part in {**schema["$defs"], **own}.items():
        for field, setting in part["properties"].items():
            _complete(name, field, setting, schema["$defs"])
    for name in schema["$defs"].keys() & _STANDS_ALONE.keys():
        alone = dict(schema["$defs"][name]["properties"][_STANDS_ALONE[name]])
        for key in ("description", "default"):  # those of the whole part are said already
            alone.pop(key, None)
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
        if by_layer:
            setting["propertyNames"] = {"pattern": f"^{LAYER.pattern}$"}
        (by_layer or setting)["oneOf"][0] = {"enum": [*load_templates(_TEMPLATES[owner, field])]}
    if setting.get("anyOf") == _NUMBER_OR_TEXT:
        setting["anyOf"] = _WIDTHS
    if "$ref" in setting:
        setting.setdefault("description", parts[setting["$ref"].rpartition("/")[2]]["description"])


def _make_step_schema(parts: Schema) -> Schema:
    """One kind of step with its settings, or, where none is needed, without."""
    step = parts["StepSpec"]
    kinds = {kind: value for kind, value in step["properties"].items() if kind != "name"}
    bare = []
    for kind, value in kinds.items():
        settings = parts[value["$ref"].rpartition("/")[2]]
        if "required" not in settings:
            bare.append(kind)
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
