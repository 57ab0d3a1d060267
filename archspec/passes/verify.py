"""Prove a graph right: every verifier in one ordered list, every fault reported.

A verifier relies on what others hold, so it runs only where those found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import networkx as nx

from archspec.errors import Diagnostic, GraphError, counted
from archspec.graph.connections import block_connections, layers_of, ports
from archspec.graph.connectivity import RULES
from archspec.graph.ir import Graph, Region
from archspec.graph.operators import Shape
from archspec.graph.shapes import infer_shapes
from archspec.passes.composition import composed
from archspec.passes.well_formed import well_formed
from archspec.spec.model import compressed

Verifier = Callable[[Graph], Iterator[Diagnostic]]


def verify(graph: Graph) -> tuple[Diagnostic, ...]:
    """Return every fault of a graph; none means that it is proved right, as far as VERIFIERS say."""
    faults: list[Diagnostic] = []
    failed: set[Verifier] = set()
    for verifier, needs in VERIFIERS:
        if not failed.isdisjoint(needs):
            failed.add(verifier)
            continue
        found = list(verifier(graph))
        if found:
            failed.add(verifier)
        faults.extend(found)
    return tuple(faults)


def verified(graph: Graph) -> Graph:
    """Return the graph itself.

    Raises:
        GraphError: G001..G010, every fault that `verify` finds.
    """
    faults = verify(graph)
    if faults:
        raise GraphError(faults)
    return graph


def acyclic(graph: Graph) -> Iterator[Diagnostic]:
    """No operator reads what depends on it; told of those that read what is listed behind them."""
    position = {name: index for index, name in enumerate(graph.ops)}
    components = nx.strongly_connected_components(graph.digraph)
    component = {name: number for number, names in enumerate(components) for name in names}
    for op in graph.ops.values():
        for source in op.inputs:
            if component[source] == component[op.name] and position[source] >= position[op.name]:
                yield Diagnostic("G003", f"reads {source}, which depends on it", op.name)


def connected(graph: Graph) -> Iterator[Diagnostic]:
    """One input, one output, and every operator lies on a way from the one to the other."""
    for what, names in (("input", graph.inputs), ("output", graph.outputs)):
        if len(names) != 1:
            yield Diagnostic("G004", f"has {len(names)} {what}s ({', '.join(names[:5])}), must have one", graph.name)
    if not graph.inputs or not graph.outputs:
        return
    reachable = nx.descendants(graph.digraph, graph.inputs[0])
    leading = {output: nx.ancestors(graph.digraph, output) for output in graph.outputs}
    main = max(leading, key=lambda output: len(leading[output]))
    for name in graph.ops:
        if name not in reachable and name not in graph.inputs:
            yield Diagnostic("G005", "is not reached from the input", name)
        if name not in leading[main] and name != main:
            yield Diagnostic("G005", "does not lead to the output", name)


def shaped(graph: Graph) -> Iterator[Diagnostic]:
    """Every operator fits the shapes that it reads."""
    yield from infer_shapes(graph)[1]


def one_way_through(graph: Graph) -> Iterator[Diagnostic]:
    """Every region reads one value from outside and gives one."""
    for name, found in ports(graph).items():
        for what, values in (("reads", found.entering), ("gives", found.leaving)):
            if len(values) != 1:
                shown = ", ".join(values[:5]) or "nothing"
                yield Diagnostic("G007", f"{what} {len(values)} values ({shown}), must be one", name)


def all_layers_there(graph: Graph) -> Iterator[Diagnostic]:
    """Each block has as many layers as it declares."""
    for block in graph.regions_of("dense_block"):
        layers, declared = len(layers_of(graph, block)), block.attrs["num_layers"]
        if layers != declared:
            yield Diagnostic("G008", f"has {counted(layers, 'layer')}, the spec says {declared}", block.name)


def densely_connected(graph: Graph) -> Iterator[Diagnostic]:
    """Each block's derived connections are its rule's, one by one and in number."""
    blocks = graph.regions_of("dense_block")
    for block, found in zip(blocks, block_connections(graph), strict=True):
        rule, layers = RULES[block.attrs["connectivity"]], len(found.sources)
        for number, sources in enumerate(found.sources, start=1):
            yield from _compare(f"layer {number}", sources, set(rule.sources(number)), block)
        yield from _compare("its output", found.gathered, set(rule.gathers(layers)), block)
        if found.edges != rule.count(layers):
            message = f"has {counted(found.edges, 'direct connection')}, {rule.count(layers)} expected"
            yield Diagnostic("G008", message, block.name)


def _compare(reader: str, found: frozenset[int], expected: set[int], block: Region) -> Iterator[Diagnostic]:
    if found == expected:
        return
    for source in sorted(expected - found):
        yield Diagnostic("G008", f"{reader} does not read {_source(source)}", block.name)
    for source in sorted(found - expected):
        yield Diagnostic("G008", f"{reader} reads {_source(source)}, the rule says it does not", block.name)


def _source(number: int) -> str:
    return f"layer {number}" if number else "the block's input"


def channels_add_up(graph: Graph) -> Iterator[Diagnostic]:
    """Layer l reads k0 + k(l-1) channels and gives k; a transition gives floor(compression x channels)."""
    shapes, _ = infer_shapes(graph)
    found = ports(graph)
    order = {name: position for position, name in enumerate(shapes)}  # shapes stand in running order

    def width(name: str, side: str) -> int:
        return shapes[getattr(found[name], side)[0]][0]

    for block in graph.regions_of("dense_block"):
        growth = block.attrs["growth_rate"]
        for number, layer in enumerate(layers_of(graph, block), start=1):
            reads = block.attrs["in_channels"] + growth * (number - 1)
            yield from _expect(width(layer.name, "entering"), reads, "reads", layer)
            yield from _expect(width(layer.name, "leaving"), growth, "gives", layer)
            yield from _bottleneck(graph, layer, shapes, order)
        total = block.attrs["in_channels"] + growth * block.attrs["num_layers"]
        yield from _expect(width(block.name, "leaving"), total, "gives", block)
    for transition in graph.regions_of("transition"):
        kept = compressed(width(transition.name, "entering"), transition.attrs["compression"])
        yield from _expect(width(transition.name, "leaving"), kept, "gives", transition)
    for stem in graph.regions_of("stem"):
        yield from _expect(width(stem.name, "leaving"), stem.attrs["out_channels"], "gives", stem)
    for head in graph.regions_of("head"):
        yield from _expect(width(head.name, "leaving"), head.attrs["num_classes"], "gives", head)


def _bottleneck(graph: Graph, layer: Region, shapes: dict[str, Shape], order: dict[str, int]) -> Iterator[Diagnostic]:
    """A convolution inside a layer, but its last, is `bottleneck` times as wide as the growth rate."""
    convs = sorted((op.name for op in graph.members[layer.name] if op.kind == "conv"), key=order.__getitem__)
    width = layer.attrs["bottleneck"] * layer.attrs["growth_rate"]
    for name in convs[:-1]:
        if shapes[name][0] != width:
            message = f"gives {shapes[name][0]} channels, bottleneck x growth_rate is {width}"
            yield Diagnostic("G009", message, name)


def _expect(found: int, expected: int, verb: str, region: Region) -> Iterator[Diagnostic]:
    if found != expected:
        yield Diagnostic("G009", f"{verb} {found} channels, the spec says {expected}", region.name)


VERIFIERS: tuple[tuple[Verifier, tuple[Verifier, ...]], ...] = (
    (well_formed, ()),
    (acyclic, (well_formed,)),
    (connected, (acyclic,)),
    (shaped, (acyclic,)),
    (composed, (acyclic,)),
    (all_layers_there, (well_formed,)),
    (one_way_through, (connected, shaped)),
    (densely_connected, (one_way_through, all_layers_there)),
    (channels_add_up, (one_way_through,)),
)
"""Each with the verifiers that it relies on."""
