"""What each operator of a graph reads once its concatenations are written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

from archspec.compare.row_facts import count_channels, is_idle
from archspec.compare.simplify import (
    by_plainest_kind,
    drop_repeated_relus,
    drop_undone_shuffles,
    fuse_gates,
    merge_sums,
)
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.operators.table import COMBINING

MAX_JOINED = 8_000_000
"""Values that all concatenations join, nested ones written out:
twice the most that a spec may connect."""

PASSED_BY = ("concat", "output")


class ResolvedReads:
    """What each operator reads, idle ones passed by and nested concatenations written out,
    in running order.

    Raises:
        ModelFileError: R009, the graph's concatenations join more values than any spec may.
    """

    def __init__(self, graph: Graph) -> None:
        # Inside out. Kinds come first, as the others go by them; sums last, as what was dropped
        # before may have stood between two of them.
        graph = drop_undone_shuffles(by_plainest_kind(graph))
        self.graph = merge_sums(fuse_gates(drop_repeated_relus(graph)))
        self.ops = dict(self.graph.ops)
        self.reads: dict[str, tuple[str, ...]] = {}
        self.regions: dict[str, str] = {}
        self.leaves: dict[str, tuple[str, ...]] = {}
        self.channels: dict[str, int] = {}
        self.total = 0
        for op in self.graph.ops.values():
            self._add(op)

    def _add(self, op: Op) -> None:
        # Running order: what is read has been resolved before, so nothing recurses.
        sources = tuple(chain.from_iterable(self._resolve(op, source) for source in op.inputs))
        self.total += len(sources)
        # Joins of joins multiply: a file of kilobytes could name more values than memory holds.
        if self.total > MAX_JOINED:
            raise ModelFileError.one(
                "R009", f"joins more than {MAX_JOINED:,} values in all", self.graph.name
            )
        self.channels[op.name] = count_channels(op, self.channels)
        if op.kind in PASSED_BY or (op.inputs and is_idle(op, self.channels[op.inputs[0]])):
            self.leaves[op.name] = sources
        else:
            self.leaves[op.name] = (op.name,)
            self.reads[op.name] = sources
        if op.kind == "concat":
            self.regions[op.name] = op.region

    def _resolve(self, op: Op, source: str) -> tuple[str, ...]:
        parts = self.leaves[source]
        if op.kind not in COMBINING or len(parts) == 1:
            return parts
        # The operands of a sum are told apart, and one of them is a join: written out, its parts
        # would become operands of the sum.
        self.reads[source] = parts
        self.ops[source] = replace(self.graph.ops[source], kind="concat", attrs={})
        return (source,)


@dataclass(frozen=True, slots=True)
class FlatGraph:
    """A graph whose operators read values, or joins of them, with nothing between."""

    ops: Mapping[str, Op]
    """Their inputs are what they join;
    a concatenation among these is one that a sum or product reads."""
    outputs: tuple[Op, ...]
    """What the network gives."""
    direct_reads: Mapping[str, tuple[str, ...]]
    """What operators and outputs read in the graph itself, concatenations by their names."""
    regions: Mapping[str, str]
    """Of the concatenations."""


def flatten(graph: Graph) -> FlatGraph:
    """Return a graph with its concatenations written out.

    Raises:
        ModelFileError: R009, they join more values than any spec may.
    """
    joins = ResolvedReads(graph)
    outputs = []
    direct_reads: dict[str, tuple[str, ...]] = {}
    # What the network gives may be a join too: its output reads it as an operator would.
    for number, name in enumerate(joins.graph.outputs, start=1):
        output = Op(f"output {number} of the network", "output", joins.leaves[name])
        outputs.append(output)
        direct_reads[output.name] = (name,)
    for name in joins.reads:
        op = joins.ops[name]
        direct_reads[name] = (name,) if op.kind == "concat" else op.inputs
    ops = {name: replace(joins.ops[name], inputs=reads) for name, reads in joins.reads.items()}
    return FlatGraph(ops, tuple(outputs), direct_reads, joins.regions)
