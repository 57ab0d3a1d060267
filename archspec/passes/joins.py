"""What each operator of a graph reads once its concatenations are written out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op

MAX_JOINED = 8_000_000
"""Values that all concatenations join, nested ones written out: twice the most that a spec may connect."""

PASSED_BY = ("concat", "dropout", "output")
COMMUTATIVE = ("add", "multiply")
"""Kinds that take several values of equal shape: a concatenation among these stays an operator of its own."""

_GATES: Mapping[str, str] = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}


class Joins:
    """What each operator reads, dropout passed by and nested concatenations written out, in running order.

    Raises:
        ModelFileError: R009, the graph's concatenations join more values than any spec may.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = summed(gated(graph))
        self.ops = dict(self.graph.ops)
        self.reads: dict[str, tuple[str, ...]] = {}
        self.regions: dict[str, str] = {}
        self.written: dict[str, tuple[str, ...]] = {}
        self.total = 0
        for op in self.graph.ops.values():
            self._add(op)

    def _add(self, op: Op) -> None:
        sources = tuple(part for source in op.inputs for part in self._parts(op, source))
        self.total += len(sources)
        if self.total > MAX_JOINED:
            raise ModelFileError.one(
                "R009", f"joins more than {MAX_JOINED:,} values in all", self.graph.name
            )
        self.written[op.name] = sources if op.kind in PASSED_BY else (op.name,)
        if op.kind == "concat":
            self.regions[op.name] = op.region
        if op.kind not in PASSED_BY:
            self.reads[op.name] = sources

    def _parts(self, op: Op, source: str) -> tuple[str, ...]:
        parts = self.written[source]
        if op.kind not in COMMUTATIVE or len(parts) == 1:
            return parts
        self.reads[source] = parts
        self.ops[source] = replace(self.graph.ops[source], kind="concat", attrs={})
        return (source,)


def gated(graph: Graph) -> Graph:
    """Return the graph with x times sigmoid(x) as what it is, a SiLU; and so a hard swish."""
    ops, made = graph.ops, dict[str, Op]()
    for op in ops.values():
        for x, gate in (op.inputs, op.inputs[::-1]) if op.kind == "multiply" else ():
            if ops[gate].kind in _GATES and ops[gate].inputs == (x,):
                made[op.name] = replace(op, kind=_GATES[ops[gate].kind], inputs=(x,))
    if not made:
        return graph
    changed = {name: made.get(name, op) for name, op in ops.items()}
    read = Counter(source for op in changed.values() for source in op.inputs)
    gates = {
        gate
        for name in made
        for gate in ops[name].inputs
        if ops[gate].kind in _GATES and not read[gate]
    }
    return replace(graph, ops={name: op for name, op in changed.items() if name not in gates})


def summed(graph: Graph) -> Graph:
    """Return the graph with the sum of a sum and a value as one sum of three."""
    read = Counter(source for op in graph.ops.values() for source in op.inputs)
    ops: dict[str, Op] = {}
    for op in graph.ops.values():
        inner = [
            source
            for source in op.inputs
            if op.kind == ops[source].kind == "add" and read[source] == 1
        ]
        if inner:
            parts = ((ops[source].inputs if source in inner else (source,)) for source in op.inputs)
            op = replace(op, inputs=tuple(part for each in parts for part in each))
            for source in inner:
                del ops[source]
        ops[op.name] = op
    return replace(graph, ops=ops) if len(ops) < len(graph.ops) else graph
