"""Operators that files write out in several nodes: a GELU in five, a layer norm in nine.

A pattern is what a value is made of: a kind, its number or its attributes with their numbers, and
the patterns of what it reads. A text in place of a number stands for whichever there is, "1/beta"
for the reciprocal of beta; a text alone stands for one and the same value wherever it is repeated.
The values of what commutes may stand in any order. Numbers are added and multiplied only: x / 6
is ("times", 1 / 6, x), x - 1 is ("plus", -1, x); but 1 - x is ("from", 1, x).

Its kinds are those of the rows, and what is a part alone: `PARTS` in
archspec/operators/file_node.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import inf, isclose
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.table import COMMUTATIVE, OPERATORS

Pattern = Any

# What a pattern is, the attributes that it has for certain, and the pattern.
PATTERNS: tuple[tuple[str, Mapping[str, Any], Pattern], ...] = tuple(
    (kind, attrs, pattern) for kind, row in OPERATORS.items() for attrs, pattern in row.patterns
)


def recognise(ops: Mapping[str, Op], name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the kind of what the operator of that name completes,
    and what it reads (`x`) with its numbers.
    """
    for kind, attrs, pattern in PATTERNS:
        found = next(_matches(ops, name, pattern, {}), None)
        if found is not None:
            return kind, {**attrs, **found}
    return None


def recognise_multiple(
    ops: Mapping[str, Op], name: str
) -> tuple[str, dict[str, Any], float] | None:
    """Return the kind of which the operator of that name gives a multiple,
    what that reads, and the factor.

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


def bind_names(value: Pattern, pattern: Pattern) -> dict[str, Any] | None:
    """Return what the texts of a pattern stand for in a value that is written as one itself,
    None where it is none.
    """
    if isinstance(pattern, str):
        return {pattern: value}
    if isinstance(value, str) or value[0] != pattern[0] or len(value) != len(pattern):
        return None
    bound = {pattern[1]: value[1]} if isinstance(pattern[1], str) else {}
    if not bound and pattern[1] is not None and not isclose(value[1], pattern[1], rel_tol=1e-3):
        return None
    for part, inner in zip(value[2:], pattern[2:], strict=True):
        found = bind_names(part, inner)
        if found is None or any(bound.get(name, found[name]) != found[name] for name in found):
            return None
        bound |= found
    return bound


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
    numbers = number if isinstance(number, Mapping) else {"value": number}
    for key, wanted in numbers.items():
        known = _with_number(bound, op.attrs.get(key), wanted)
        if known is None:
            return
        bound = known
    orders = set(permutations(op.inputs)) if kind in COMMUTATIVE else {op.inputs}
    for inputs in sorted(orders):
        yield from _of_all(ops, inputs, parts, bound)


def _with_number(bound: dict[str, Any], value: Any, wanted: Any) -> dict[str, Any] | None:
    """What the texts of a pattern stand for where a number is as it should be, else None."""
    if wanted is None:
        return bound
    if not isinstance(wanted, str):
        return bound if isclose(value, wanted, rel_tol=1e-3) else None
    if wanted.startswith("1/"):
        wanted, value = wanted.removeprefix("1/"), 1 / value if value else inf
    if not isclose(bound.get(wanted, value), value, rel_tol=1e-3):
        return None
    return {**bound, wanted: value}


def _of_all(
    ops: Mapping[str, Op], inputs: tuple[str, ...], parts: list[Pattern], bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not parts:
        yield bound
        return
    for found in _matches(ops, inputs[0], parts[0], bound):
        yield from _of_all(ops, inputs[1:], parts[1:], found)
