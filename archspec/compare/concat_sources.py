"""What each operator of a graph reads once its concatenations are written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from archspec.compare.simplify import (
    by_plainest_kind,
    channels_of,
    clamped,
    gated,
    is_idle,
    summed,
    unshuffled,
)
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op

MAX_JOINED = 8_000_000
"""Values that all concatenations join, nested ones written out: twice the most that a spec may connect."""

PASSED_BY = ("concat", "output")
COMMUTATIVE = ("add", "multiply")
"""Kinds that take several values of equal shape: a concatenation among these stays an operator of its own."""


class Joins:
    """What each operator reads, idle ones passed by and nested concatenations written out, in running order.

    Raises:
        ModelFileError: R009, the graph's concatenations join more values than any spec may.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = summed(gated(clamped(unshuffled(by_plainest_kind(graph)))))
        self.ops = dict(self.graph.ops)
        self.reads: dict[str, tuple[str, ...]] = {}
        self.regions: dict[str, str] = {}
        self.written: dict[str, tuple[str, ...]] = {}
        self.channels: dict[str, int] = {}
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
        self.channels[op.name] = channels_of(op, self.channels)
        if op.kind in PASSED_BY or (op.inputs and is_idle(op, self.channels[op.inputs[0]])):
            self.written[op.name] = sources
        else:
            self.written[op.name] = (op.name,)
            self.reads[op.name] = sources
        if op.kind == "concat":
            self.regions[op.name] = op.region

    def _parts(self, op: Op, source: str) -> tuple[str, ...]:
        parts = self.written[source]
        if op.kind not in COMMUTATIVE or len(parts) == 1:
            return parts
        self.reads[source] = parts
        self.ops[source] = replace(self.graph.ops[source], kind="concat", attrs={})
        return (source,)


@dataclass(frozen=True, slots=True)
class Flat:
    """A graph whose operators read values, or joins of them, with nothing between."""

    ops: Mapping[str, Op]
    """Their inputs are what they join; a concatenation among these is one that a sum or product reads."""
    outputs: tuple[Op, ...]
    """What the network gives."""
    through: Mapping[str, tuple[str, ...]]
    """What operators and outputs read in the graph itself, concatenations by their names."""
    regions: Mapping[str, str]
    """Of the concatenations."""


def flat(graph: Graph) -> Flat:
    """Return a graph with its concatenations written out.

    Raises:
        ModelFileError: R009, they join more values than any spec may.
    """
    joins = Joins(graph)
    ends = {
        f"output {number} of the network": name
        for number, name in enumerate(joins.graph.outputs, start=1)
    }
    through: dict[str, tuple[str, ...]] = {output: (name,) for output, name in ends.items()}
    for name in joins.reads:
        op = joins.ops[name]
        through[name] = (name,) if op.kind == "concat" else op.inputs
    return Flat(
        {name: replace(joins.ops[name], inputs=reads) for name, reads in joins.reads.items()},
        tuple(Op(output, "output", joins.written[name]) for output, name in ends.items()),
        through,
        joins.regions,
    )
