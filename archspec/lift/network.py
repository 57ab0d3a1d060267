"""A file's graph with its concatenations written out:
what each operator reads is single values or one join of them.

    concat(concat(u, a), b) -> batch_norm      the norm reads the join (u, a, b), which is one node

Nodes that all paths lead through cut the network in pieces; `walk_narrow_nodes` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any

from archspec.compare.concat_sources import ResolvedReads
from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.attributes import Attrs
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape
from archspec.operators.table import COMBINING, OPERATORS, ROWS

MAX_JOINED = 4_100_000
"""Values that all operators of a file that is lifted read, concatenations written out;
a block of 2,000 layers."""


class Unliftable(Exception):
    """What stands at an operator cannot be said in the language;
    the message is a part of a sentence.
    """

    def __init__(self, op: str, message: str) -> None:
        super().__init__(message)
        self.op = op

    def diagnostic(self, where: str) -> Diagnostic:
        """Return it as the user reads it."""
        return Diagnostic("R108", f"{self.op}: {self}", where)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator, or a join of several values: a concatenation with nested ones written out."""

    op: Op
    reads: tuple[str, ...]
    shape: Shape

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.op.name

    @property
    def kind(self) -> str:
        """Its kind, `concat` of a join."""
        return self.op.kind

    @property
    def is_join(self) -> bool:
        """It joins several values."""
        return self.op.kind == "concat"


@dataclass(frozen=True)
class Network:
    """Nodes by name in running order, and those that the network gives."""

    nodes: Mapping[str, Node]
    outputs: tuple[str, ...]

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Where each node stands in running order."""
        return {name: index for index, name in enumerate(self.nodes)}

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The nodes that read each node."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for source in dict.fromkeys(node.reads):
                found[source].append(node.name)
        return {name: tuple(readers) for name, readers in found.items()}

    def channels(self, *names: str) -> int:
        """Return the channels of nodes together."""
        return sum(self.nodes[name].shape[0] for name in names)


def make_network(graph: Graph, where: str) -> Network:
    """Return the network of a graph that was read from the file `where`.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may; R108, more than
            are lifted, or shapes that do not fit.
    """
    joins = ResolvedReads(graph)
    if joins.total > MAX_JOINED:
        message = f"operators read {joins.total:,} values in all; at most {MAX_JOINED:,} are lifted"
        raise ModelFileError.one("R108", message, where)
    shapes, faults = infer_shapes(joins.graph)
    if faults:
        raise ModelFileError(
            Diagnostic("R108", f"{fault.where}: {fault.message}", where) for fault in faults
        )
    # Of concatenations that come to the same join, the first one's name is what the user finds.
    named: dict[tuple[str, ...], str] = {}
    for name, op in joins.graph.ops.items():
        if op.kind == "concat":
            named.setdefault(joins.leaves[name], name)
    collected = _NodeCollector(joins, shapes, named)
    for name, reads in joins.reads.items():
        collected.add_node(joins.ops[name], reads)
    outputs = tuple(collected.add_join(joins.leaves[name]) for name in joins.graph.outputs)
    nodes: Mapping[str, Node] = collected.nodes
    for row in filter(lambda row: row.case_of, ROWS):
        nodes = _as_neighbours_are(nodes, row, OPERATORS[row.case_of])
    return Network(nodes, outputs)


def _as_neighbours_are(
    nodes: Mapping[str, Node], case: Operator, whole: Operator
) -> Mapping[str, Node]:
    """The nodes, where all of the whole kind have the same settings, with those that are a case of
    it, with these settings, as the whole kind too.

    An instance norm is a group norm as well, of as many groups as channels, and is read as the
    former; its neighbours tell what it was meant for.
    """
    own = sorted({*whole.required} - {*case.required})
    settings = {_values_of(node, own) for node in nodes.values() if node.kind == whole.kind}
    if len(settings) != 1:
        return nodes
    more = dict(zip(own, settings.pop(), strict=True))
    return {name: _as_whole_kind(node, case, whole, more) for name, node in nodes.items()}


def _values_of(node: Node, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(node.op.attrs[name] for name in names)


def _as_whole_kind(node: Node, case: Operator, whole: Operator, more: Attrs) -> Node:
    attrs = {**node.op.attrs, **more}
    if node.kind != case.kind or whole.same_as(attrs) != case.kind:
        return node
    return replace(node, op=replace(node.op, kind=whole.kind, attrs=attrs))


@dataclass
class _NodeCollector:
    joins: ResolvedReads
    shapes: Mapping[str, Shape]
    named: Mapping[tuple[str, ...], str]

    def __post_init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.same: dict[str, str] = {}
        """Concatenations that an operator of their own reads, and the join that each is."""

    def add_node(self, op: Op, reads: tuple[str, ...]) -> None:
        if op.kind == "concat":
            self.same[op.name] = self.add_join(reads)
            return
        # A sum tells its operands apart, so a join among them stays one; all else reads one join.
        if op.kind in COMBINING:
            reads = tuple(self.same.get(source, source) for source in reads)
        elif reads:
            reads = (self.add_join(reads),)
        self.nodes[op.name] = Node(op, reads, self.shapes[op.name])

    def add_join(self, reads: tuple[str, ...]) -> str:
        """Return the node of one value, or of the join of several."""
        if len(reads) == 1:
            return reads[0]
        # Equal joins are one node, however often the file writes them.
        name = self.named[reads]
        if name not in self.nodes:
            op = replace(self.joins.graph.ops[name], kind="concat", attrs={})
            self.nodes[name] = Node(op, reads, self.shapes[name])
        return name


def keep_whole_joins(network: Network) -> Network:
    """Return the network with a join, all parts of which are always read together,
    as one value of larger joins.
    """
    nodes = dict(network.nodes)
    for join in network.nodes.values():
        if not join.is_join or not _is_read_as_one(network, join):
            continue
        for name in {*network.readers[join.reads[0]]} - {join.name}:
            nodes[name] = replace(nodes[name], reads=_read_whole(nodes[name].reads, join))
    return replace(network, nodes=nodes)


def _is_read_as_one(network: Network, join: Node) -> bool:
    readers = network.readers[join.reads[0]]
    # With one reader the join itself is all that reads them, and there is nothing to gather.
    return len(readers) > 1 and all(network.readers[part] == readers for part in join.reads)


def _read_whole(reads: tuple[str, ...], join: Node) -> tuple[str, ...]:
    """What is read, with the join where its first part stood."""
    whole = []
    for source in reads:
        if source == join.reads[0]:
            whole.append(join.name)
        elif source not in join.reads:
            whole.append(source)
    return tuple(whole)


def walk_narrow_nodes(
    network: Network, ends: Sequence[str]
) -> Iterator[tuple[Node, AbstractSet[str]]]:
    """Yield each node that all paths to the ends lead through,
    the last first, with the nodes behind it.
    """
    # The last node in running order first: when it is the only one that waits, no path goes
    # round it, for what is read later stands before it.
    waiting = [(-network.position[name], name) for name in {*ends}]
    heapify(waiting)
    met, behind = {*ends}, set[str]()
    while waiting:
        _, name = heappop(waiting)
        if not waiting:
            yield network.nodes[name], behind
        behind.add(name)
        fresh = [source for source in network.nodes[name].reads if source not in met]
        met.update(fresh)
        for source in dict.fromkeys(fresh):
            heappush(waiting, (-network.position[source], source))
