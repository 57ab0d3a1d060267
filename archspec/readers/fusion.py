"""Operators that files write out in several nodes: a GELU in five, a layer norm in nine.

A pattern is what a value is made of: a kind, its number or its attributes with their numbers, and
the patterns of what it reads. A text in place of a number stands for whichever there is, "1/beta"
for the reciprocal of beta; a text alone stands for one and the same value wherever it is repeated:
what the operator reads, "x", and of a join "y" and "z" behind it. The values of what commutes may
stand in any order. Numbers are added and multiplied only: x / 6 is ("times", 1 / 6, x), x - 1 is
("plus", -1, x); but 1 - x is ("from", 1, x).

Its kinds are those of the rows, and what is a part alone: `PARTS` in
archspec/operators/file_node.py. Of several patterns that end at one value the largest is it; one
that has another inside is found though the other was found before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import inf, isclose
from typing import Any, NamedTuple

from archspec.graph.ir import Op
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import COMMUTATIVE, JOINS, OPERATORS, attribute
from archspec.readers.trace import Feature, Trace, Unsupported

Pattern = Any
Known = tuple[str, Mapping[str, Any], Pattern]
"""What a pattern is, the attributes that it has for certain, and the pattern."""
READ = ("x", "y", "z")
"""Texts that stand for what an operator reads, in its order."""


class Whole(NamedTuple):
    """An operator that a value and what it is made of come to."""

    kind: str
    reads: tuple[str, ...]
    """The operators that give what it reads, in its order."""
    attrs: Mapping[str, Any]


def _count_parts(pattern: Pattern) -> int:
    return 0 if isinstance(pattern, str) else 1 + sum(map(_count_parts, pattern[2:]))


def list_patterns(rows: Mapping[str, Operator]) -> tuple[Known, ...]:
    """Return the patterns of rows, the largest first."""
    found = []
    for kind, row in rows.items():
        found += [(kind, attrs, pattern) for attrs, pattern in row.patterns]
    return tuple(sorted(found, key=lambda known: -_count_parts(known[2])))


PATTERNS = list_patterns(OPERATORS)


def recognise(trace: Trace, name: str) -> Whole | None:
    """Return what the operator of that name completes, None where that is nothing known."""
    for kind, attrs, pattern in PATTERNS:
        found = next(_matches(trace, name, pattern, {}), None)
        if found is not None:
            return _make_whole(kind, attrs, found)
    return None


def recognise_multiple(trace: Trace, name: str) -> tuple[Whole, float] | None:
    """Return what the operator of that name gives a multiple of, and the factor.

    A compiler makes one number of two in a row: a tenth of a GELU is 0.05 times what a GELU halves.
    What it halves must be nothing by itself: a multiple of a sum is a sum, not one of a mean.
    """
    op = trace.ops[name]
    if op.kind != "times":
        return None
    for kind, attrs, (sign, number, *parts) in PATTERNS:
        if sign != "times" or not any(map(_has_part, parts)):
            continue
        found = next(_of_all(trace, op.inputs, parts, {}), None)
        if found is not None:
            usual = _number_of(number, found)
            return _make_whole(kind, attrs, found), op.attrs["value"] / usual
    return None


def _make_whole(kind: str, attrs: Mapping[str, Any], found: Mapping[str, Any]) -> Whole:
    reads = tuple(found[name] for name in READ if name in found)
    settings = {name: value for name, value in found.items() if name not in READ}
    return Whole(kind, reads, {**attrs, **settings})


def _has_part(pattern: Pattern) -> bool:
    """Whether something is in it that is no operator by itself."""
    if isinstance(pattern, str):
        return False
    return pattern[0] not in OPERATORS or any(map(_has_part, pattern[2:]))


def _number_of(number: Any, found: Mapping[str, Any]) -> float:
    """A pattern's number, where it is said by what a text stands for."""
    if not isinstance(number, str):
        return float(number)
    name = number.removeprefix("1/")
    return float(found[name] if name == number else 1 / found[name])


def order_reads(whole: Whole, read: Mapping[str, Feature]) -> list[Feature]:
    """Return what a whole reads as its row takes it: what commutes may stand in another order.

    Raises Unsupported where a join's row joins no such shapes.
    """
    given = [read[name] for name in whole.reads]
    if whole.kind not in JOINS:
        return given
    row, why = OPERATORS[whole.kind], ""
    for order in permutations(given) if row.commutes else [given]:
        try:
            row.shape(whole.attrs, [x.shape[1:] for x in order])
        except ShapeFault as fault:
            why = why or str(fault)
            continue
        return [*order]
    raise Unsupported(why)


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
    trace: Trace, name: str, pattern: Pattern, bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield what the texts of a pattern stand for, for each way in which the value is one of it."""
    if isinstance(pattern, str):
        if bound.get(pattern, name) == name:
            yield {**bound, pattern: name}
        return
    # What was found to be an operator is, to another pattern, what it was put together of.
    for form in filter(None, (name, trace.written.get(name))):
        yield from _matches_form(trace, trace.ops[form], pattern, bound)


def _matches_form(
    trace: Trace, op: Op, pattern: Pattern, bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    kind, number, *parts = pattern
    if op.kind != kind or len(op.inputs) != len(parts):
        return
    numbers = number if isinstance(number, Mapping) else {"value": number}
    for key, wanted in numbers.items():
        known = _with_number(bound, _value_of(op, key), wanted)
        if known is None:
            return
        bound = known
    orders = set(permutations(op.inputs)) if kind in COMMUTATIVE else {op.inputs}
    for inputs in sorted(orders):
        yield from _of_all(trace, inputs, parts, bound)


def _value_of(op: Op, key: str) -> Any:
    """An attribute, or what it is where it is absent."""
    return attribute(op.kind, op.attrs, key) if op.kind in OPERATORS else op.attrs.get(key)


def _with_number(bound: dict[str, Any], value: Any, wanted: Any) -> dict[str, Any] | None:
    """What the texts of a pattern stand for where a number is as it should be, else None."""
    if wanted is None:
        return bound
    if not isinstance(wanted, str):
        return bound if _is_near(value, wanted) else None
    if wanted.startswith("1/"):
        wanted, value = wanted.removeprefix("1/"), 1 / value if value else inf
    if not _is_near(bound.get(wanted, value), value):
        return None
    return {**bound, wanted: value}


def _is_near(value: Any, wanted: Any) -> bool:
    """Numbers are rounded in files; whether something is so, or a word, is not."""
    if _is_number(value) and _is_number(wanted):
        return isclose(value, wanted, rel_tol=1e-3)
    return bool(value == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_all(
    trace: Trace, inputs: tuple[str, ...], parts: list[Pattern], bound: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not parts:
        yield bound
        return
    for found in _matches(trace, inputs[0], parts[0], bound):
        yield from _of_all(trace, inputs[1:], parts[1:], found)
