"""Operators that files write out in several nodes: a GELU in five, a layer norm in nine.

A pattern is what a value is made of: a kind, its number (a text stands for whichever number there is), and
the patterns of what it reads; a text alone stands for one and the same value wherever it is repeated. The two
values that are added or multiplied may stand in either order. Numbers are added and multiplied only: x / 6 is
("times", 1 / 6, x), x - 1 is ("plus", -1, x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import isclose, pi, sqrt
from typing import Any

from archspec.graph.ir import Op

Pattern = Any

_ERF: Pattern = ("plus", 1.0, ("erf", None, ("times", sqrt(1 / 2), "x")))
_CUBES: tuple[Pattern, ...] = (
    ("power", 3.0, "x"),
    ("multiply", None, "x", ("multiply", None, "x", "x")),
    ("multiply", None, "x", ("power", 2.0, "x")),
)
_TANHS: tuple[Pattern, ...] = tuple(
    (
        "plus",
        1.0,
        ("tanh", None, ("times", sqrt(2 / pi), ("add", None, "x", ("times", 0.044715, cube)))),
    )
    for cube in _CUBES
)


def _gated(gate: Pattern) -> tuple[Pattern, ...]:
    """x times half a gate, as it is written."""
    return (
        ("times", 0.5, ("multiply", None, "x", gate)),
        ("multiply", None, ("times", 0.5, "x"), gate),
        ("multiply", None, "x", ("times", 0.5, gate)),
    )


_CENTRED: Pattern = ("subtract", None, "x", ("mean", None, "x"))
_SQUARES: tuple[Pattern, ...] = (("power", 2.0, _CENTRED), ("multiply", None, _CENTRED, _CENTRED))

# What a pattern is, the attributes that it has for certain, and the pattern.
PATTERNS: tuple[tuple[str, Mapping[str, Any], Pattern], ...] = (
    ("hard_sigmoid", {}, ("times", 1 / 6, ("relu6", None, ("plus", 3.0, "x")))),
    ("hard_swish", {}, ("multiply", None, "x", ("hard_sigmoid", None, "x"))),
    (
        "hard_swish",
        {},
        ("times", 1 / 6, ("multiply", None, "x", ("relu6", None, ("plus", 3.0, "x")))),
    ),
    ("silu", {}, ("multiply", None, "x", ("sigmoid", None, "x"))),
    *(("gelu", {}, pattern) for pattern in _gated(_ERF)),
    *(("gelu", {"approximate": "tanh"}, pattern) for tanh in _TANHS for pattern in _gated(tanh)),
    *(
        (
            "layer_norm",
            {},
            ("divide", None, _CENTRED, ("sqrt", None, ("plus", "eps", ("mean", None, square)))),
        )
        for square in _SQUARES
    ),
)


def recognised(ops: Mapping[str, Op], name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the kind of what the operator of that name completes, and what it reads (`x`) with its numbers."""
    for kind, attrs, pattern in PATTERNS:
        found = next(_matches(ops, name, pattern, {}), None)
        if found is not None:
            return kind, {**attrs, **found}
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
