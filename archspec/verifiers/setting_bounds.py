"""Settings of operators that the language has, but not so small or large."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS, norm_name
from archspec.spec.reading.document import Document
from archspec.spec.reading.validation_errors import diagnose
from archspec.spec.steps import StepSpec


def find_beyond_bounds(op: Op, widths: bool = True) -> Iterator[str]:
    """Yield the settings of an operator that no step may have, each with its bounds.

    Without `widths` those are left out that a spec may say as a multiple of another, however large.
    """
    row = OPERATORS[op.kind]
    names, step = dict(row.said), row.step.name if row.step else row.family
    if row.step and widths:
        names |= {attribute: setting for setting, attribute in row.step.widths.items()}
    if not names:
        return
    said = {names[key]: value for key, value in op.attrs.items() if key in names}
    known = {key: value for key, value in said.items() if not isinstance(value, tuple | None)}
    kind = {"kind": norm_name(op.kind)} if step in ("norm", "activation") else {}
    values = {step: {**kind, **known}}
    try:
        StepSpec.model_validate(values)
    except ValidationError as error:
        yield from (fault.message for fault in diagnose(error, StepSpec, Document(values)))
