"""Direct connections, derived: no builder writes them and nothing stores them.

Layer i of a block has a direct connection from source j when a path leads from the block's input (j
= 0) or from layer j's output to an operator of layer i through operators that only carry features
(concatenation, norm, activation, pooling, dropout). The ports are derived too: what crosses into a
region, what crosses out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from archspec.connectivity_rules import RULES, count_connections
from archspec.graph.ir import Graph, Region, once_per_graph
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class Ports:
    """Values that enter a region from outside, and values of the region that are read outside."""

    entering: tuple[str, ...]
    leaving: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockConnections:
    """What feeds each layer of a block, as found in the graph; source 0 is the block's input."""

    block: str
    sources: tuple[tuple[int, ...], ...]
    """`sources[i - 1]` feeds layer i, in the order in which it joins them."""
    gathered: tuple[int, ...]
    """What the block's output, or its aggregation, joins, in order."""
    aggregated: bool = False
    """A layer of the rule reads what is gathered: connections too."""
    bypassed: bool = False
    """Some of the input's channels reach the block's output round all layers:
    one more connection."""

    @property
    def edges(self) -> int:
        """Number of direct connections."""
        return sum(map(len, self.sources)) + self.aggregated * len(self.gathered) + self.bypassed


@once_per_graph
def derive_ports(graph: Graph) -> Mapping[str, Ports]:
    """Return the ports of every region, nested regions belonging to the outer one as well."""
    # As keys of dicts, which keep the order in which values were met.
    entering: dict[str, dict[str, None]] = {name: {} for name in graph.regions}
    leaving: dict[str, dict[str, None]] = {name: {} for name in graph.regions}
    for value, maker, reader in _walk_crossings(graph):
        for region in {*reader} - {*maker}:
            entering[region][value] = None
        for region in {*maker} - {*reader}:
            leaving[region][value] = None
    ports = {name: Ports(tuple(entering[name]), tuple(leaving[name])) for name in graph.regions}
    return MappingProxyType(ports)


def _walk_crossings(graph: Graph) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield each value that crosses a region's border,
    with the regions of its maker and of its reader.
    """
    chains = {name: tuple(_enclosing_regions(graph, name)) for name in ("", *graph.regions)}
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


def find_skip_source(graph: Graph, region: Region, found: Mapping[str, Ports]) -> tuple[str, ...]:
    """Return what a transition's skip names: the output of a block or of the stem;
    nothing without a skip.
    """
    skip = region.attrs.get("skip", 0)
    if skip == "stem":
        return found[skip].leaving if skip in found else graph.inputs
    blocks = graph.regions_of("dense_block")
    return found[blocks[skip - 1].name].leaving if 0 < skip <= len(blocks) else ()


def layers_of(graph: Graph, block: Region) -> tuple[Region, ...]:
    """Return a block's layers, first to last."""
    return graph.regions_of("dense_layer", block.name)


@once_per_graph
def derive_connections(graph: Graph) -> tuple[BlockConnections, ...]:
    """Return the direct connections of every dense block, in order."""
    found = derive_ports(graph)
    by_parent: dict[str, list[Region]] = {}
    for layer in graph.regions_of("dense_layer"):
        by_parent.setdefault(layer.parent, []).append(layer)
    return tuple(
        _derive_block(graph, block, by_parent.get(block.name, []), found)
        for block in graph.regions_of("dense_block")
    )


def count_expected_edges(block: Region) -> int:
    """Return the closed-form number of a block's direct connections,
    as its declaration says them.
    """
    return count_connections(
        block.attrs["connectivity"], block.attrs["num_layers"], block.attrs["aggregated"]
    )


def _derive_block(
    graph: Graph, block: Region, layers: Sequence[Region], found: Mapping[str, Ports]
) -> BlockConnections:
    numbers: dict[str, int] = dict.fromkeys(found[block.name].entering, 0)
    for number, layer in enumerate(layers, start=1):
        numbers |= dict.fromkeys(found[layer.name].leaving, number)
    aggregations = graph.regions_of("aggregation", block.name)
    slices = [op for op in graph.members[block.name] if op.kind == "slice"]
    # A slice that no layer reads through is what goes round the layers.
    around = {op.name for op in slices}
    for layer in layers if around else ():
        around.difference_update(_walk_back(graph, found[layer.name].entering, numbers))
    leaving = found[block.name].leaving
    joined = [value for region in aggregations for value in found[region.name].entering] or leaving
    return BlockConnections(
        block.name,
        tuple(_find_sources(graph, found[layer.name].entering, numbers) for layer in layers),
        _find_sources(graph, _leave_out_residual(graph, joined, block.name), numbers, around),
        bool(aggregations) and RULES[block.attrs["connectivity"].kind].aggregates,
        not around.isdisjoint(
            _walk_back(graph, _leave_out_residual(graph, leaving, block.name), numbers)
        ),
    )


def _leave_out_residual(graph: Graph, values: Iterable[str], block: str) -> tuple[str, ...]:
    """What a block's output joins, its input, that a residual block adds to it, left aside."""
    kept = []
    for value in values:
        op = graph.ops[value]
        is_residual = op.kind == "add" and op.region == block
        kept.append(op.inputs[0] if is_residual else value)
    return tuple(kept)


def _find_sources(
    graph: Graph, values: Iterable[str], numbers: Mapping[str, int], around: Iterable[str] = ()
) -> tuple[int, ...]:
    """Return the sources that values come from, in the order in which they are joined.

    What runs through `around` does not count.
    """
    met = _walk_back(graph, values, numbers, around)
    return tuple(dict.fromkeys(numbers[value] for value in met if value in numbers))


def _walk_back(
    graph: Graph, values: Iterable[str], numbers: Mapping[str, int], around: Iterable[str] = ()
) -> tuple[str, ...]:
    """Walk back from values to the numbered sources through operators that carry features.

    Return all values met, the inputs of each operator in their order.
    """
    seen = dict.fromkeys(around)
    left_out = len(seen)
    waiting = [*values][::-1]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen[value] = None
        op = graph.ops.get(value)
        if value not in numbers and op is not None and OPERATORS[op.kind].carries:
            waiting.extend(reversed(op.inputs))
    return tuple(seen)[left_out:]


def _enclosing_regions(graph: Graph, region: str) -> Iterable[str]:
    """The region and all that enclose it."""
    while region in graph.regions:
        yield region
        region = graph.regions[region].parent
