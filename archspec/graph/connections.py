"""Direct connections, derived: no builder writes them and nothing stores them.

Layer i of a block has a direct connection from source j when a path leads from the block's input (j = 0) or
from layer j's output to an operator of layer i through operators that only carry features (concatenation,
norm, activation, pooling, dropout). The ports are derived too: what crosses into a region, what crosses out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archspec.graph.ir import Graph, Region
from archspec.graph.operators import OPERATORS


@dataclass(frozen=True, slots=True)
class Ports:
    """Values that enter a region from outside, and values of the region that are read outside."""

    entering: tuple[str, ...]
    leaving: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockConnections:
    """What feeds each layer of a block, as found in the graph; source 0 is the block's input."""

    block: str
    sources: tuple[frozenset[int], ...]
    """`sources[i - 1]` feeds layer i."""
    gathered: frozenset[int]
    """What the block's output joins."""

    @property
    def edges(self) -> int:
        """Number of direct connections."""
        return sum(map(len, self.sources))


def ports(graph: Graph) -> dict[str, Ports]:
    """Return the ports of every region, nested regions belonging to the outer one as well."""
    entering: dict[str, dict[str, None]] = {name: {} for name in graph.regions}
    leaving: dict[str, dict[str, None]] = {name: {} for name in graph.regions}
    for value, maker, reader in _crossings(graph):
        for region in reader:
            if region not in maker:
                entering[region][value] = None
        for region in maker:
            if region not in reader:
                leaving[region][value] = None
    return {name: Ports(tuple(entering[name]), tuple(leaving[name])) for name in graph.regions}


def _crossings(graph: Graph) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield each value that crosses a region's border, with the regions of its maker and of its reader."""
    chains = {name: tuple(_chain(graph, name)) for name in ("", *graph.regions)}
    # A layer's output is read by all concatenations behind it: of equal crossings, look at one.
    readings = dict.fromkeys((source, op.region) for op in graph.ops.values() for source in op.inputs)
    for source, region in readings:
        maker = chains.get(graph.ops[source].region, ()) if source in graph.ops else ()
        reader = chains.get(region, ())
        if maker is not reader:
            yield source, maker, reader
    for name in graph.outputs:
        yield name, chains.get(graph.ops[name].region, ()), ()


def layers_of(graph: Graph, block: Region) -> tuple[Region, ...]:
    """Return a block's layers, first to last."""
    return graph.regions_of("dense_layer", block.name)


def block_connections(graph: Graph) -> tuple[BlockConnections, ...]:
    """Return the direct connections of every dense block, in order."""
    found = ports(graph)
    by_parent: dict[str, list[Region]] = {}
    for layer in graph.regions_of("dense_layer"):
        by_parent.setdefault(layer.parent, []).append(layer)
    return tuple(
        _connections(graph, block, by_parent.get(block.name, []), found) for block in graph.regions_of("dense_block")
    )


def _connections(graph: Graph, block: Region, layers: Sequence[Region], found: Mapping[str, Ports]) -> BlockConnections:
    numbers: dict[str, int] = dict.fromkeys(found[block.name].entering, 0)
    for number, layer in enumerate(layers, start=1):
        numbers |= dict.fromkeys(found[layer.name].leaving, number)
    return BlockConnections(
        block.name,
        tuple(_reached(graph, found[layer.name].entering, numbers) for layer in layers),
        _reached(graph, found[block.name].leaving, numbers),
    )


def _reached(graph: Graph, values: Iterable[str], numbers: Mapping[str, int]) -> frozenset[int]:
    """Walk back from values to the numbered sources through operators that carry features."""
    reached: set[int] = set()
    waiting, seen = list(values), set[str]()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in numbers:
            reached.add(numbers[value])
            continue
        op = graph.ops.get(value)
        if op is not None and OPERATORS[op.kind].carries:
            waiting.extend(op.inputs)
    return frozenset(reached)


def _chain(graph: Graph, region: str) -> Iterable[str]:
    """The region and all that enclose it."""
    while region in graph.regions:
        yield region
        region = graph.regions[region].parent
