"""Prove a graph right: every verifier in one ordered list, every fault reported.

A verifier relies on what others hold, so it runs only where those found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from archspec.connectivity_rules import (
    count_bypassing,
    has_bypass,
    sources_of_layer,
    sources_of_output,
)
from archspec.errors import Diagnostic, GraphError, format_count
from archspec.graph.connections import (
    count_expected_edges,
    derive_connections,
    derive_ports,
    find_skip_source,
    layers_of,
)
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.shapes import (
    infer_shapes,
    reads_only_what_stands_before,
    running_order,
)
from archspec.operators.shape_rules import Shape
from archspec.verifiers.composition import check_composition
from archspec.verifiers.well_formed import check_well_formed

Verifier = Callable[[Graph], Iterator[Diagnostic]]


def verify(graph: Graph) -> tuple[Diagnostic, ...]:
    """Return every fault of a graph;
    none means that it is proved right, as far as VERIFIERS say.
    """
    faults: list[Diagnostic] = []
    failed: set[Verifier] = set()
    for verifier, needs in VERIFIERS:
        # What was not run holds nothing: those that rely on it are not run either.
        if not failed.isdisjoint(needs):
            failed.add(verifier)
            continue
        found = list(verifier(graph))
        if found:
            failed.add(verifier)
        faults.extend(found)
    return tuple(faults)


def verify_or_raise(graph: Graph) -> Graph:
    """Return the graph itself.

    Raises:
        GraphError: G001..G010, every fault that `verify` finds.
    """
    faults = verify(graph)
    if faults:
        raise GraphError(faults)
    return graph


def check_acyclic(graph: Graph) -> Iterator[Diagnostic]:
    """No operator reads what depends on it; told of those that read what is listed behind them."""
    if reads_only_what_stands_before(graph):
        return
    import networkx as nx

    position = {name: index for index, name in enumerate(graph.ops)}
    component: dict[str, int] = {}
    # Operators on one cycle, and those alone, are one strongly connected component.
    for number, names in enumerate(nx.strongly_connected_components(graph.digraph)):
        component |= dict.fromkeys(names, number)
    reads = ((op.name, source) for op in graph.ops.values() for source in op.inputs)
    for name, source in reads:
        if component[source] == component[name] and position[source] >= position[name]:
            yield Diagnostic("G003", f"reads {source}, which depends on it", name)


def check_connected(graph: Graph) -> Iterator[Diagnostic]:
    """One input, one output beside the features (without a head perhaps none),
    and every operator lies on a way.
    """
    ends = tuple(name for name in graph.outputs if graph.ops[name].kind != "output")
    is_backbone = len(ends) < len(graph.outputs) and not graph.regions_of("head")
    for what, names, least in (("input", graph.inputs, 1), ("output", ends, int(not is_backbone))):
        if not least <= len(names) <= 1:
            must = "one" if least else "at most one beside its features"
            shown = f"{format_count(len(names), what)} ({', '.join(names[:5])})"
            yield Diagnostic("G004", f"has {shown}, must have {must}", graph.name)
    if not graph.inputs or not graph.outputs:
        return
    reachable = _find_reachable(graph, graph.inputs[0])
    leading = {output: _find_leading(graph, output) for output in graph.outputs}
    # Of several ends the one that most operators lead to is taken for the output: what leads
    # elsewhere is then the little that is wrong.
    main = max(ends, key=lambda output: len(leading[output]), default="")
    wanted = {name for name in graph.outputs if name == main or graph.ops[name].kind == "output"}
    useful = wanted.union(*(leading[name] for name in wanted))
    for name in graph.ops:
        if name not in reachable and name not in graph.inputs:
            yield Diagnostic("G005", "is not reached from the input", name)
        if name not in useful:
            yield Diagnostic("G005", "does not lead to the output", name)


def _find_reachable(graph: Graph, start: str) -> set[str]:
    """Return what `start` leads to.

    Sets of names, as below, see a connection once; edges of networkx would be made for that alone.
    """
    found = {start}
    for name in running_order(graph):
        if not found.isdisjoint(graph.ops[name].inputs):
            found.add(name)
    return found - {start}


def _find_leading(graph: Graph, end: str) -> set[str]:
    """Return what leads to `end`."""
    found: set[str] = set()
    waiting = [end]
    while waiting:
        unseen = set(graph.ops[waiting.pop()].inputs) - found
        found |= unseen
        waiting.extend(unseen)
    return found


def check_shapes(graph: Graph) -> Iterator[Diagnostic]:
    """Every operator fits the shapes that it reads."""
    yield from infer_shapes(graph)[1]


def check_ports(graph: Graph) -> Iterator[Diagnostic]:
    """Every region reads one value from outside,
    a transition with a skip what that names too, and gives one.
    """
    found = derive_ports(graph)
    for name, port in found.items():
        region = graph.regions[name]
        skipped = find_skip_source(graph, region, found)
        skip = region.attrs.get("skip", 0)
        yield from _check_entering(port.entering, skip, skipped, name)
        if len(port.leaving) != 1:
            yield Diagnostic("G007", f"gives {_show_values(port.leaving)}, must be one", name)


def _check_entering(
    values: Sequence[str], skip: int | str, skipped: Sequence[str], name: str
) -> Iterator[Diagnostic]:
    if not skip:
        if len(values) != 1:
            yield Diagnostic("G007", f"reads {_show_values(values)}, must be one", name)
        return
    if len(values) != 2 or not set(skipped) <= set(values):
        owner = "the stem" if skip == "stem" else f"block {skip}"
        rule = f"one and the output of {owner}"
        yield Diagnostic("G007", f"reads {_show_values(values)}, must be {rule}", name)


def _show_values(values: Sequence[str]) -> str:
    return f"{format_count(len(values), 'value')} ({', '.join(values[:5]) or 'nothing'})"


def check_layer_counts(graph: Graph) -> Iterator[Diagnostic]:
    """Each block has as many layers as it declares."""
    for block in graph.regions_of("dense_block"):
        layers, declared = len(layers_of(graph, block)), block.attrs["num_layers"]
        if layers != declared:
            yield Diagnostic(
                "G008", f"has {format_count(layers, 'layer')}, the spec says {declared}", block.name
            )


def check_connections(graph: Graph) -> Iterator[Diagnostic]:
    """Each block's derived connections are its rule's, one by one, in their order and in number."""
    blocks = graph.regions_of("dense_block")
    for block, found in zip(blocks, derive_connections(graph), strict=True):
        wiring, layers = block.attrs["connectivity"], len(found.sources)
        for number, read in enumerate(found.sources, start=1):
            yield from _compare_sources(
                f"layer {number}", read, sources_of_layer(wiring, number), block
            )
        yield from _compare_sources(
            "its output", found.gathered, sources_of_output(wiring, layers), block
        )
        expected = count_expected_edges(block)
        if found.edges != expected:
            message = f"has {format_count(found.edges, 'direct connection')}, {expected:,} expected"
            yield Diagnostic("G008", message, block.name)


def _compare_sources(
    reader: str, found: Sequence[int], expected: Sequence[int], block: Region
) -> Iterator[Diagnostic]:
    for source in sorted({*expected} - {*found}):
        yield Diagnostic("G008", f"{reader} does not read {_name_source(source)}", block.name)
    for source in sorted({*found} - {*expected}):
        yield Diagnostic(
            "G008", f"{reader} reads {_name_source(source)}, the rule says it does not", block.name
        )
    if sorted(found) == sorted(expected) and tuple(found) != tuple(expected):
        wrong = next(at for at, source in enumerate(found) if source != expected[at])
        rule = f"the spec says {_name_source(expected[wrong])}"
        message = f"{reader} joins {_name_source(found[wrong])} at place {wrong + 1}, {rule}"
        yield Diagnostic("G008", message, block.name)


def _name_source(number: int) -> str:
    return f"layer {number}" if number else "the block's input"


def check_channels(graph: Graph) -> Iterator[Diagnostic]:
    """A layer reads the sum of its sources (k0 + k (l - 1) where all are dense)
    and gives its growth rate.

    That a transition gives the channels that it declares, and a bottleneck its multiple of the
    growth rate, `check_composition` holds; what a compression comes to, the declaration says.
    """
    shapes, _ = infer_shapes(graph)
    found = derive_ports(graph)

    def width(name: str, side: str) -> int:
        return shapes[getattr(found[name], side)[0]][0]

    for block in graph.regions_of("dense_block"):
        layers, wiring, channels = (
            layers_of(graph, block),
            block.attrs["connectivity"],
            block.attrs["in_channels"],
        )
        yield from _expect_channels(width(block.name, "entering"), channels, "reads", block)
        bypass = count_bypassing(wiring, channels)
        widths = (channels - bypass, *block.attrs["widths"])
        for number, layer in enumerate(layers, start=1):
            reads = sum(widths[source] for source in sources_of_layer(wiring, number))
            yield from _expect_channels(width(layer.name, "entering"), reads, "reads", layer)
            yield from _expect_channels(
                width(layer.name, "leaving"), widths[number], "gives", layer
            )
        if not block.attrs["aggregated"]:
            total = bypass + sum(
                widths[source] for source in sources_of_output(wiring, len(layers))
            )
            yield from _expect_channels(width(block.name, "leaving"), total, "gives", block)
    for head in graph.regions_of("head"):
        yield from _expect_channels(
            width(head.name, "leaving"), head.attrs["num_classes"], "gives", head
        )


def check_slices_and_crops(graph: Graph) -> Iterator[Diagnostic]:
    """What goes round a block's layers is the first of its channels;
    a feature map is cropped at its centre.
    """
    shapes, _ = infer_shapes(graph)
    found = derive_ports(graph)
    for block in graph.regions_of("dense_block"):
        first_layer = found[layers_of(graph, block)[0].name]
        yield from _check_slices(graph, block, graph.ops[first_layer.entering[0]])
    for op in graph.ops.values():
        if op.kind == "crop":
            yield from _check_crop(op, shapes[op.inputs[0]])


def _check_slices(graph: Graph, block: Region, entering: Op) -> Iterator[Diagnostic]:
    """Check the slices of a block; `entering` is what its first layer reads."""
    channels, wiring = block.attrs["in_channels"], block.attrs["connectivity"]
    border = count_bypassing(wiring, channels)
    slices = [op for op in graph.members[block.name] if op.kind == "slice"]
    parts = [(op.attrs["start"], op.attrs["stop"]) for op in slices]
    if has_bypass(wiring) and sorted(parts) != [(0, border), (border, channels)]:
        message = f"is split {parts}, must be at {border} of {channels} channels"
        yield Diagnostic("G009", message, block.name)
    is_split = entering.kind == "slice" and entering.region == block.name
    if is_split and entering.attrs["start"] != border:
        message = f"must begin at channel {border}: the others go round the layers"
        yield Diagnostic("G009", message, entering.name)


def _check_crop(op: Op, shape: Shape) -> Iterator[Diagnostic]:
    sizes = zip(shape[1:], op.attrs["size"], strict=True)
    corner = tuple((whole - size) // 2 for whole, size in sizes)
    if tuple(op.attrs["corner"]) != corner:
        message = f"corner (={op.attrs['corner']}) must be {corner}, of the centre"
        yield Diagnostic("G010", message, op.name)


def check_features(graph: Graph) -> Iterator[Diagnostic]:
    """A marked output, `feature3`, gives the output of that block."""
    found, blocks = derive_ports(graph), graph.regions_of("dense_block")
    for op in graph.ops.values():
        if op.kind != "output" or not graph.regions:
            continue
        number = op.name.removeprefix("feature")
        index = int(number) if number.isdecimal() else 0
        leaving = found[blocks[index - 1].name].leaving if 0 < index <= len(blocks) else ()
        if tuple(op.inputs) != tuple(leaving):
            yield Diagnostic(
                "G007",
                f"gives {', '.join(op.inputs)}, must be the output of block {number}",
                op.name,
            )


def _expect_channels(found: int, expected: int, verb: str, region: Region) -> Iterator[Diagnostic]:
    if found != expected:
        yield Diagnostic("G009", f"{verb} {found} channels, the spec says {expected}", region.name)


VERIFIERS: tuple[tuple[Verifier, tuple[Verifier, ...]], ...] = (
    (check_well_formed, ()),
    (check_acyclic, (check_well_formed,)),
    (check_connected, (check_acyclic,)),
    (check_shapes, (check_acyclic,)),
    (check_composition, (check_acyclic,)),
    (check_layer_counts, (check_well_formed,)),
    (check_ports, (check_connected, check_shapes)),
    (check_connections, (check_ports, check_layer_counts)),
    (check_channels, (check_ports, check_layer_counts)),
    (check_slices_and_crops, (check_ports, check_layer_counts)),
    (check_features, (check_ports,)),
)
"""Each with the verifiers that it relies on."""
