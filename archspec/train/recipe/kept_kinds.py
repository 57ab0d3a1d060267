"""Which kinds of operators a recipe keeps in full precision beside half precision."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

from archspec.operators.table import OPERATORS

KINDS = tuple(kind for kind, row in OPERATORS.items() if row.mindspore.cell)
"""Those that are cells of a network: MindSpore knows no precision of a function's call."""


def _check_kind(kind: str) -> str:
    if kind in KINDS:
        return kind
    raise PydanticKnownError("literal_error", {"expected": ", ".join(KINDS)})


def _split(written: Any) -> Any:
    """`dense, conv` -> a list, each once."""
    items = written.split(",") if isinstance(written, str) else written
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        return items  # which pydantic refuses
    return tuple(dict.fromkeys(item.strip() for item in items))


Kind = Annotated[
    str, AfterValidator(_check_kind), WithJsonSchema({"type": "string", "enum": [*KINDS]})
]
KeptKinds = Annotated[
    tuple[Kind, ...], BeforeValidator(_split, json_schema_input_type=str | tuple[Kind, ...])
]
