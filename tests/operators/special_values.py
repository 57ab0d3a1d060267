"""Values of settings at which an operator may be another than its example shows: each word that may
be said, both ends of a range, 0 and 1, as many as there are channels, and one beside the example's.
They are found in the rows and their models, so that a new row is asked for them without a line.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from math import prod
from typing import Any

from operators.examples import EXAMPLES, MAP, READING, Attrs, default_of, read_by, say
from pydantic import ValidationError

from archspec.operators.activations import ActivationSettings
from archspec.operators.norms import NormSettings
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import OPERATORS, norm_name
from archspec.spec.steps import StepSpec

Part = Mapping[str, Any]
"""What a setting may be, as JSON Schema has it; of several kinds of values one."""

SHARE = 1e-6
"""How far from a bound that is not allowed itself the last value is taken, of the whole range."""
MOST_VALUES = 1_000_000
"""That an operator may give: larger ones show nothing that these do not."""
OF_FAMILIES: Mapping[str, Any] = {"activation": ActivationSettings, "norm": NormSettings}


@cache
def parts_of(kind: str) -> Mapping[str, list[Part]]:
    """By each setting of a kind, but for widths, what it may be."""
    row = OPERATORS[kind]
    model = row.step.settings if row.step else OF_FAMILIES.get(row.family)
    if model is None:
        return {}
    schema = model.model_json_schema()["properties"]
    names = {*schema} - {"kind", *row.step.widths} if row.step else {*row.settings}
    return {name: schema[name].get("anyOf", [schema[name]]) for name in sorted(names)}


def is_number(part: Part) -> bool:
    """Whether it is a number of a range."""
    return part.get("type") in ("integer", "number") and not {"enum", "const"} & {*part}


def bounds_of(part: Part) -> tuple[float, float] | None:
    """The smallest and the largest number that it may be; None where nothing says it."""
    outside = beyond(part)
    if outside is None:
        return None
    if part["type"] == "integer":
        return outside[0] + 1, outside[1] - 1
    low, high = outside
    inner = SHARE * (high - low)
    ends = part.get("minimum", low + inner), part.get("maximum", high - inner)
    return tuple(float(f"{end:.6g}") for end in ends)  # as people write numbers


def beyond(part: Part) -> tuple[float, float] | None:
    """A number below those that it may be and one above, as near as may be."""
    step = 1 if part["type"] == "integer" else SHARE
    lowest, highest = part.get("minimum"), part.get("maximum")
    low = part.get("exclusiveMinimum") if lowest is None else lowest - step
    high = part.get("exclusiveMaximum") if highest is None else highest + step * max(1, highest)
    if part["type"] == "integer" and highest is not None:
        high = highest + 1
    return None if low is None or high is None else (low, high)


def values_of(kind: str, name: str) -> list[Any]:
    """Values of an attribute that the language has, of each part that its setting may be."""
    parts = parts_of(kind)[OPERATORS[kind].said[name]]
    found = [value for part in parts for value in _values_of_part(part, kind, name)]
    return list({repr(value): value for value in found}.values())


def _values_of_part(part: Part, kind: str, name: str) -> list[Any]:
    if part.get("type") == "boolean":
        return [False, True]
    if not is_number(part):
        return [*part.get("enum", [part["const"]] if "const" in part else [])]
    bounds = bounds_of(part)
    if bounds is None:
        return []
    (mine, *_) = (attrs[name] for attrs in EXAMPLES[kind] if name in attrs)
    default = default_of(kind, name)
    if part["type"] == "integer":
        found = [*bounds, 0, 1, MAP[0], mine + 1]
    else:
        found = [*map(float, bounds), 0.0, 1.0, (mine + (default or 2 * mine)) / 2]
    return [value for value in found if bounds[0] <= value <= bounds[1]]


def attrs_of(said: Mapping[str, Any], ins: int = MAP[0]) -> Attrs:
    """An operator's attributes, as the language has them of a step."""
    step = StepSpec.model_validate(said)
    if step.kind == "norm":
        return {"channels": ins, **step.settings.own_settings}
    if step.kind == "activation":
        return step.settings.attrs(ins)
    (row, *_) = (row for row in OPERATORS.values() if row.step and row.step.name == step.kind)
    return row.step.attrs(step.settings, ins, {})


def changed(kind: str, attrs: Attrs, name: str, value: Any) -> Attrs | None:
    """The attributes with one of another value; None where a rule between settings, or a shape that
    does not fit, forbids it.
    """
    with suppress(ValidationError, ShapeFault):
        made = attrs_of(say(kind, {**attrs, name: value}))
        shape = OPERATORS[kind].shape(made, read_by(kind))
        return made if prod(shape) <= MOST_VALUES else None
    return None


def _find_all() -> Iterator[tuple[str, str, Attrs]]:
    for kind, attrs in READING:
        for name in OPERATORS[kind].said:
            values = values_of(kind, name) if name in attrs else []
            for value in values:
                made = changed(kind, attrs, name, value)
                if made is not None:
                    yield f"{kind} of {name} {value}", kind, made


def _find_new() -> Iterator[tuple[str, str, Attrs]]:
    """Each once, and none that is an example."""
    known = {repr((kind, sorted(attrs.items()))) for kind, attrs in READING}
    for name, kind, attrs in _find_all():
        what = repr((kind, sorted(attrs.items())))
        if what not in known:
            known.add(what)
            yield name, kind, attrs


_NEW = [*_find_new()]
SPECIAL = [(kind, attrs) for _, kind, attrs in _NEW]
SPECIAL_NAMES = [name for name, _, _ in _NEW]
NUMBERS = [
    (kind, name, part)
    for kind in OPERATORS
    for name, parts in parts_of(kind).items()
    for part in filter(is_number, parts)
]
"""Settings that are numbers of a range."""


def said_with(kind: str, setting: str, value: Any) -> dict[str, Any]:
    """The step that says a kind with one setting, as the last, and others that it must have."""
    row = OPERATORS[kind]
    if row.step is None:
        return {row.family: {"kind": norm_name(kind), setting: value}}
    said = say(kind, EXAMPLES[kind][0])[row.step.name]
    others = {name: said[name] for name in said if name != setting}
    return {row.step.name: {**others, setting: value}}
