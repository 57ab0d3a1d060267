"""Settings of a file's operators that the language has, but not so small or large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS, norm_name
from archspec.spec.reading.document import Document
from archspec.spec.reading.validation_errors import diagnose
from archspec.spec.steps import StepSpec


def _settings_of(kind: str) -> tuple[str, Mapping[str, str]]:
    """What a step is called, and its settings by the attributes that say them."""
    row = OPERATORS[kind]
    if row.step is not None:
        said = {**row.step.said, **row.step.widths}
        return row.step.name, {attribute: setting for setting, attribute in said.items()}
    own = {key: key for key in row.settings if key not in row.in_training}
    return (row.family, own) if own or row.family == "activation" else ("", {})


def find_beyond_bounds(op: Op) -> Iterator[str]:
    """Yield the settings of an operator that no step may have, each with its bounds."""
    step, names = _settings_of(op.kind)
    if not step:
        return
    said = {names[key]: value for key, value in op.attrs.items() if key in names}
    known = {key: value for key, value in said.items() if not isinstance(value, tuple | None)}
    kind = {"kind": norm_name(op.kind)} if step in ("norm", "activation") else {}
    values = {step: {**kind, **known}}
    try:
        StepSpec.model_validate(values)
    except ValidationError as error:
        yield from (fault.message for fault in diagnose(error, StepSpec, Document(values)))
