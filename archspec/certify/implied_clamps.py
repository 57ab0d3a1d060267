"""Activations with an upper bound, in whose place a pair of QuantizeLinear and DequantizeLinear
stands.

Of a pair that gives nothing below zero a ReLU is read. Quantisers leave out a ReLU6 as well, where
the pair ends at 6 or below: nobody but the spec can tell which of both it was.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import inf

from archspec.certify.optimized_file import Side
from archspec.compare.match import Match
from archspec.errors import name_first
from archspec.graph.ir import Graph, Op
from archspec.operators.table import OPERATORS
from archspec.readers.onnx.read import OnnxReading

ROUNDED = 1e-6
"""Of a bound, in float32."""


def read_as_the_specs(side: Side, match: Match) -> Side:
    """Return a file's implied ReLUs as what the spec has in their places, if they end within the
    bounds of that; the side itself where that changes none.
    """
    reading = side.reading
    if not isinstance(reading, OnnxReading) or not reading.implied:
        return side
    pairs = chain.from_iterable(
        zip(expected.ops, found.ops, strict=False) for expected, found in match.complete_pairs
    )
    others = {}
    for ours, theirs in pairs:
        end = reading.implied.get(theirs.name, inf)
        if ours.kind != theirs.kind and end <= _bound_of(ours) * (1 + ROUNDED):
            others[theirs.name] = replace(theirs, kind=ours.kind, attrs=ours.attrs)
    if not others:
        return side
    graph = reading.graph
    ops = []
    for op in graph.ops.values():
        like = others.get(op.name, op)
        ops.append(replace(op, kind=like.kind, attrs=like.attrs))
    kinds = ", ".join(sorted({op.kind for op in others.values()}))
    note = (
        f"{name_first([*others])}: no {kinds} stands there, but rounding cuts off within its bounds"
    )
    return side._replace(
        reading=replace(reading, graph=Graph.of(graph.name, ops)), notes=(*side.notes, note)
    )


def _bound_of(op: Op) -> float:
    """The upper bound of what cuts off below zero; of anything else, less than any."""
    interval = OPERATORS[op.kind].interval
    low, high = (inf, inf) if interval is None else interval(op.attrs)
    return high if low == 0 else -inf
