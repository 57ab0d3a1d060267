"""A graph as chains, and the chains of two graphs in pairs; names play no part.

A chain is a run of operators that each read one value, from a join to the next value that something joins or
that is read more than once. What a spec calls a stem, a layer, a transition or a head is one chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import networkx as nx

from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op

MAX_JOINED = 8_000_000
"""Values that all concatenations join, nested ones written out: twice the most that a spec may connect."""

MAX_CELLS = 4_000_000
"""Cells of the table that pairs chains; beyond, they are paired one by one as they come."""

# Kinds that may stand for one another.
_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("relu", "relu6", "silu", "gelu", "hard_swish", "leaky_relu", "prelu"), "activation"),
    **dict.fromkeys(("max_pool", "avg_pool"), "pool"),
}


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators that read one another, first to last; what the first reads, concatenations written out."""

    ops: tuple[Op, ...]
    reads: tuple[str, ...]
    joined: str = ""
    """The region of the concatenation that it reads."""

    @property
    def output(self) -> str:
        """The value that the chain makes."""
        return self.ops[-1].name

    @property
    def region(self) -> str:
        """The region that it begins in."""
        return self.ops[0].region

    @property
    def classes(self) -> tuple[str, ...]:
        """The kinds of its operators, those that may stand for one another alike."""
        return tuple(_CLASSES.get(op.kind, op.kind) for op in self.ops)


Pair = tuple[Chain | None, Chain | None]
"""The spec's chain and the file's; one without a partner stands beside None."""


def contracted(graph: Graph) -> list[Chain]:
    """Return a graph as chains, each after those that it reads.

    Raises:
        ModelFileError: R009, the graph's concatenations join more values than any spec may.
    """
    joins = _Joins(graph)
    readers = Counter(source for reads in joins.reads.values() for source in set(reads))
    ends = {source for reads in joins.reads.values() if len(reads) > 1 for source in reads}
    ends |= {source for source, count in readers.items() if count > 1} | set(graph.inputs)
    chains: dict[str, Chain] = {}
    for name, reads in joins.reads.items():
        op = graph.ops[name]
        if len(reads) == 1 and reads[0] not in ends:
            before = chains.pop(reads[0])
            chains[name] = replace(before, ops=(*before.ops, op))
        else:
            chains[name] = Chain((op,), reads, joins.regions.get(op.inputs[0], "") if op.inputs else "")
    return list(chains.values())


class _Joins:
    """What each operator reads, dropout passed by and nested concatenations written out, in running order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reads: dict[str, tuple[str, ...]] = {}
        self.regions: dict[str, str] = {}
        self.written: dict[str, tuple[str, ...]] = {}
        total = 0
        for name in self.order():
            op = graph.ops[name]
            sources = tuple(part for source in op.inputs for part in self.written[source])
            total += len(sources)
            if total > MAX_JOINED:
                raise ModelFileError.one("R009", f"joins more than {MAX_JOINED:,} values in all", graph.name)
            passed_by = op.kind in ("concat", "dropout")
            self.written[name] = sources if passed_by else (name,)
            if op.kind == "concat":
                self.regions[name] = op.region
            if not passed_by:
                self.reads[name] = sources

    def order(self) -> Iterator[str]:
        """A walk from the output, inputs in their order: the same for equal graphs, however they are listed."""
        backwards = nx.DiGraph()
        for name, op in self.graph.ops.items():
            backwards.add_node(name)
            backwards.add_edges_from((name, source) for source in op.inputs)
        yield from nx.dfs_postorder_nodes(backwards, self.graph.outputs[-1])


def paired(expected: Sequence[Chain], found: Sequence[Chain]) -> tuple[Pair, ...]:
    """Return two sequences of chains paired at the least cost, each in its order (Needleman and Wunsch 1970).

    Equal beginnings and ends are paired first; what is left between them is short unless all differs.
    """
    head = _alike(expected, found)
    tail = _alike(expected[head:][::-1], found[head:][::-1])
    middle = _align(expected[head : len(expected) - tail], found[head : len(found) - tail])
    before = list(zip(expected[:head], found[:head], strict=True))
    after = list(zip(expected[len(expected) - tail :], found[len(found) - tail :], strict=True))
    return (*before, *middle, *after)


def _alike(expected: Sequence[Chain], found: Sequence[Chain]) -> int:
    pairs = enumerate(zip(expected, found, strict=False))
    return next((index for index, (a, b) in pairs if a.classes != b.classes), min(len(expected), len(found)))


def _align(expected: Sequence[Chain], found: Sequence[Chain]) -> list[Pair]:
    if len(expected) * len(found) > MAX_CELLS:
        return list(zip_longest(expected, found))
    costs = [[float(column) for column in range(len(found) + 1)]]
    for row, a in enumerate(expected, start=1):
        costs.append([float(row)])
        for column, b in enumerate(found, start=1):
            together = costs[row - 1][column - 1] + _cost(a, b)
            costs[row].append(min(together, costs[row - 1][column] + 1, costs[row][column - 1] + 1))
    pairs: list[Pair] = []
    row, column = len(expected), len(found)
    while row or column:
        here = costs[row][column]
        if row and here == costs[row - 1][column] + 1:
            row -= 1
            pairs.append((expected[row], None))
        elif column and here == costs[row][column - 1] + 1:
            column -= 1
            pairs.append((None, found[column]))
        else:
            row, column = row - 1, column - 1
            pairs.append((expected[row], found[column]))
    return pairs[::-1]


def _cost(expected: Chain, found: Chain) -> float:
    """Of pairing two chains: less than leaving both alone (2) where they could stand for one another."""
    if expected.classes == found.classes:
        return 0
    shared = sum((Counter(expected.classes) & Counter(found.classes)).values())
    return 2.1 - 1.6 * shared / max(len(expected.ops), len(found.ops))
