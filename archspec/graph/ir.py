"""The IR: operators with ordered inputs, grouped in regions.

Everything else is derived from these two.

A graph is immutable; its edges (a `networkx.DiGraph`), the ports of its regions and its direct
connections are computed from the operators, each once for a graph (`once_per_graph`), and never
given to it, so they cannot disagree with them. networkx is imported where its walks are used: a
spec whose operators stand in order is built, verified and counted without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Self

from archspec.errors import GraphError
from archspec.operators.attributes import Attrs

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Op:
    """An operator with one output.

    Its name is its place: `features.denseblock1.denselayer1.conv1`.
    """

    name: str
    kind: str
    """A key of `archspec.operators.table.OPERATORS`."""
    inputs: tuple[str, ...]
    """Names of the operators whose outputs it reads, in order."""
    attrs: Attrs = field(default_factory=dict)
    region: str = ""
    """Name of the innermost region that it belongs to."""


@dataclass(frozen=True, slots=True)
class Region:
    """A stem, dense_block, dense_layer, aggregation, transition or head,
    and what the spec declares of it.
    """

    name: str
    kind: str
    parent: str = ""
    attrs: Attrs = field(default_factory=dict)
    origin: tuple[str | int, ...] = ()
    """The path in the spec that the region comes from, `("blocks", 2)`."""


Named = TypeVar("Named", Op, Region)


@dataclass(frozen=True)
class Graph:
    """Operators by name, in an order in which they can run, and regions by name."""

    name: str
    ops: Mapping[str, Op]
    regions: Mapping[str, Region] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, ops: Iterable[Op], regions: Iterable[Region] = ()) -> Self:
        """Return a graph of operators and regions, each found by its name.

        Raises:
            GraphError: G001, two of them have one name.
        """
        return cls(name, _index_by_name(ops), _index_by_name(regions))

    @cached_property
    def digraph(self) -> nx.DiGraph:
        """The operators as a frozen `networkx.DiGraph`;
        an edge leads from a value's maker to its reader.
        """
        import networkx as nx

        digraph = nx.DiGraph()
        digraph.add_nodes_from(self.ops)
        digraph.add_edges_from(
            (source, op.name) for op in self.ops.values() for source in op.inputs
        )
        return nx.freeze(digraph)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs."""
        return tuple(op.name for op in self.ops.values() if op.kind == "input")

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the operators that nothing reads: the network's outputs, the head's last."""
        read = {source for op in self.ops.values() for source in op.inputs}
        return tuple(name for name in self.ops if name not in read)

    @cached_property
    def members(self) -> Mapping[str, tuple[Op, ...]]:
        """The operators of each region, those of nested regions left to these."""
        found: dict[str, list[Op]] = {name: [] for name in self.regions}
        for op in self.ops.values():
            found.setdefault(op.region, []).append(op)
        return {name: tuple(ops) for name, ops in found.items()}

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What functions found of this graph, by function; see `once_per_graph`."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: the fields. The rest follows from them."""
        return {named.name: getattr(self, named.name) for named in fields(self)}

    def regions_of(self, kind: str, parent: str | None = None) -> tuple[Region, ...]:
        """Return the regions of a kind (below a parent), in order."""
        return tuple(
            r
            for r in self.regions.values()
            if r.kind == kind and (parent is None or r.parent == parent)
        )

    def with_op(self, op: Op) -> Self:
        """Return the graph with the operator of that name replaced, or added."""
        return replace(self, ops=MappingProxyType({**self.ops, op.name: op}))

    def without_op(self, name: str) -> Self:
        """Return the graph without an operator; what read it still names it."""
        return replace(
            self, ops=MappingProxyType({n: op for n, op in self.ops.items() if n != name})
        )


Found = TypeVar("Found")


def once_per_graph(derive: Callable[[Graph], Found]) -> Callable[[Graph], Found]:
    """Return the function as one that runs once for a graph and keeps with it what it found.

    A graph never changes, and neither may what is found: whoever asks is given the same object.
    """

    @wraps(derive)
    def known(graph: Graph) -> Found:
        if derive not in graph.derived:
            graph.derived[derive] = derive(graph)
        found: Found = graph.derived[derive]
        return found

    return known


def _index_by_name(items: Iterable[Named]) -> Mapping[str, Named]:
    found: dict[str, Named] = {}
    for item in items:
        if item.name in found:
            raise GraphError.one("G001", "the name stands for two things", item.name)
        found[item.name] = item
    return MappingProxyType(found)
