"""Operators that files write out in several nodes: a GELU in five, a layer norm in nine.

A pattern is what a value is made of: a kind, its number (a text stands for whichever number there is), and
the patterns of what it reads; a text alone stands for one and the same value wherever it is repeated. The two
values that are added or multiplied may stand in either order. Numbers are added and multiplied only: x / 6 is
("times", 1 / 6, x), x - 1 is ("plus", -1, x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import isclose
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS

Pattern = Any

# What a pattern is, the attributes that it has for certain, and the pattern.
PATTERNS: tuple[tuple[str, Mapping[str, Any], Pattern], ...] = tuple(
    (kind, attrs, pattern) for kind, row in OPERATORS.items() for attrs, pattern in row.patterns
)


def recognised(ops: Mapping[str, Op], name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the kind of what the operator of that name completes, and what it reads (`x`) with its numbers."""
    for kind, attrs, pattern in PATTERNS:
        found = next(_matches(ops, name, pattern, {}), None)
        if found is not None:
            return kind, {**attrs, **found}
    return None


def multiplied(ops: Mapping[str, Op], name: str) -> tuple[str, dict[str, Any], float] | None:
    """Return the kind of which the operator of that name gives a multiple, what that reads, and the factor.

    A compiler makes one number of two in a row: a tenth of a GELU is 0.05 times what a GELU halves.
    """
    op = ops[name]
    if op.kind != "times":
        return None
    for kind, attrs, (sign, number, *parts) in PATTERNS:
        found = next(_of_all(ops, op.inputs, parts, {}), None) if sign == "times" else None
        if found is not None:
            return kind, {**attrs, **found}, op.attrs["value"] / number
    return None


def _matches(
    ops: Mapping[str, Op], name: str, pattern: Pattern, bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield what the texts of a pattern stand for, for each way in which the value is one of it."""
    if isinstance(pattern, str):
        if bound.get(pattern, name) == name:
            yield {**bound, pattern: name}
        return
    op, (kind, number, *parts) = ops[name], pattern
    if op.kind != kind or len(op.inputs) != len(parts):
        return
    value: Any = op.attrs.get("value")
    if isinstance(number, str):
        bound = {**bound, number: value}
    elif number is not None and not isclose(value, number, rel_tol=1e-3):
        return
    orders = set(permutations(op.inputs)) if kind in ("add", "multiply") else {op.inputs}
    for inputs in sorted(orders):
        yield from _of_all(ops, inputs, parts, bound)


def _of_all(
    ops: Mapping[str, Op], inputs: tuple[str, ...], parts: list[Pattern], bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not parts:
        yield bound
        return
    for found in _matches(ops, inputs[0], parts[0], bound):
        yield from _of_all(ops, inputs[1:], parts[1:], found)
