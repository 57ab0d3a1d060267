"""Direct connections, derived: no builder writes them and nothing stores them.

Layer i of a block has a direct connection from source j when a path leads from the block's input (j = 0) or
from layer j's output to an operator of layer i through operators that only carry features (concatenation,
norm, activation, pooling, dropout). The ports are derived too: what crosses into a region, what crosses out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archspec.graph.connectivity import RULES, count
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
    """What the block's output, or its aggregation, joins."""
    aggregated: bool = False
    """A layer of the rule reads what is gathered: connections too."""
    bypassed: bool = False
    """Some of the input's channels reach the block's output round all layers: one more connection."""

    @property
    def edges(self) -> int:
        """Number of direct connections."""
        return sum(map(len, self.sources)) + self.aggregated * len(self.gathered) + self.bypassed


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
    readings = dict.fromkeys(
        (source, op.region) for op in graph.ops.values() for source in op.inputs
    )
    for source, region in readings:
        maker = chains.get(graph.ops[source].region, ()) if source in graph.ops else ()
        reader = chains.get(region, ())
        if maker is not reader:
            yield source, maker, reader
    for name in graph.outputs:
        yield name, chains.get(graph.ops[name].region, ()), ()


def beside(graph: Graph, region: Region, found: Mapping[str, Ports]) -> tuple[str, ...]:
    """Return what a transition's skip names: the output of a block or of the stem; nothing without a skip."""
    skip = region.attrs.get("skip", 0)
    if skip == "stem":
        return found[skip].leaving if skip in found else graph.inputs
    blocks = graph.regions_of("dense_block")
    return found[blocks[skip - 1].name].leaving if 0 < skip <= len(blocks) else ()


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
        _connections(graph, block, by_parent.get(block.name, []), found)
        for block in graph.regions_of("dense_block")
    )


def expected_edges(block: Region) -> int:
    """Return the closed-form number of a block's direct connections, as its declaration says them."""
    return count(block.attrs["connectivity"], block.attrs["num_layers"], block.attrs["aggregated"])


def _connections(
    graph: Graph, block: Region, layers: Sequence[Region], found: Mapping[str, Ports]
) -> BlockConnections:
    numbers: dict[str, int] = dict.fromkeys(found[block.name].entering, 0)
    for number, layer in enumerate(layers, start=1):
        numbers |= dict.fromkeys(found[layer.name].leaving, number)
    aggregations = graph.regions_of("aggregation", block.name)
    slices = [op for op in graph.members[block.name] if op.kind == "slice"]
    around = {op.name for op in slices}
    for layer in layers if around else ():
        around -= _walk(graph, found[layer.name].entering, numbers)
    gathers = [found[region.name].entering for region in aggregations] or [
        found[block.name].leaving
    ]
    gathers = [_summands(graph, values, block.name) for values in gathers]
    return BlockConnections(
        block.name,
        tuple(_reached(graph, found[layer.name].entering, numbers) for layer in layers),
        frozenset().union(*(_reached(graph, values, numbers, around) for values in gathers)),
        bool(aggregations) and RULES[block.attrs["connectivity"].kind].aggregates,
        bool(
            around
            & set(_walk(graph, _summands(graph, found[block.name].leaving, block.name), numbers))
        ),
    )


def _summands(graph: Graph, values: Iterable[str], block: str) -> tuple[str, ...]:
    """What a block's output joins, its input, that a residual block adds to it, left aside."""
    adds = {
        value for value in values if (op := graph.ops[value]).kind == "add" and op.region == block
    }
    return tuple(graph.ops[value].inputs[0] if value in adds else value for value in values)


def _reached(
    graph: Graph, values: Iterable[str], numbers: Mapping[str, int], around: Iterable[str] = ()
) -> frozenset[int]:
    """Return the sources that values come from; what runs through `around` does not count."""
    return frozenset(
        numbers[value] for value in _walk(graph, values, numbers, around) if value in numbers
    )


def _walk(
    graph: Graph, values: Iterable[str], numbers: Mapping[str, int], around: Iterable[str] = ()
) -> set[str]:
    """Walk back from values to the numbered sources through operators that carry features; return all values met."""
    seen = set(around)
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        op = graph.ops.get(value)
        if value not in numbers and op is not None and OPERATORS[op.kind].carries:
            waiting.extend(op.inputs)
    return seen.difference(around)


def _chain(graph: Graph, region: str) -> Iterable[str]:
    """The region and all that enclose it."""
    while region in graph.regions:
        yield region
        region = graph.regions[region].parent
