"""What pictures, pages and tables say of a graph:
names, sizes, counts, connections found and expected.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from math import inf
from string import ascii_lowercase, digits

from archspec.connectivity_rules import RULES
from archspec.errors import format_count, make_printable
from archspec.graph.connections import derive_ports
from archspec.graph.ir import Graph
from archspec.graph.report import BlockReport, Report
from archspec.operators.shape_rules import Shape

NARROW = frozenset(ascii_lowercase + digits + "._- ")


def shorten_name(text: str, room: float = inf, size: float = 12) -> str:
    """Return a name without control characters,
    its end alone where `room` pixels are too few for all.
    """
    text = make_printable(text)
    # No font is at hand, so widths are those of a wide one in bold; measured from the end, which is
    # kept.
    narrow, wide = 0.7 * size, 1.15 * size
    widths = [0.0]
    for sign in reversed(text):
        widths.append(widths[-1] + (narrow if sign in NARROW else wide))
    if widths[-1] <= room:
        return text
    fits = sum(width <= room - size for width in widths[1:])  # less the ellipsis
    return "…" + text[len(text) - fits :]


def format_dimensions(shape: Shape) -> str:
    """Return `256 x 56 x 56`, or `1000 values` where there are no pixels."""
    sizes = tuple(map(str, shape))
    return " x ".join(sizes) if len(sizes) > 1 else f"{sizes[0]} values"


def format_giga(count: int) -> str:
    """Return a count in thousand millions, three significant digits,
    never as a power of ten: `0.00252`.
    """
    return f"{Decimal(f'{count / 1e9:.3g}'):f}"


def format_totals(facts: Report) -> str:
    """Return the line of totals."""
    edges = format_count(facts.edges, "direct connection")
    macs = f"{format_giga(facts.macs)} GMACs"
    return f"{facts.params:,} parameters · {macs} · {edges} · depth {facts.depth}"


def describe_connections(block: BlockReport, graph: Graph) -> str:
    """Return the direct connections found in a block beside those that its rule gives."""
    attrs = graph.regions[block.name].attrs
    found, expected, layers = block.edges, block.expected_edges, attrs["num_layers"]
    noun = "direct connection" if expected == 1 else "direct connections"
    if found != expected:
        return f"{found:,} of {expected:,} expected {noun}: this block breaks its rule"
    kind = attrs["connectivity"].kind
    formula = RULES[kind].formula.format(layers=layers, more=layers + 1)
    if formula:
        return f"{found:,} {noun} = {formula}"
    return f"{found:,} of {expected:,} {noun} ({kind.replace('_', ' ')})"


def describe_growth(block: str, graph: Graph) -> str:
    """Return what a block's layers add: `32`, or `14 to 68` where they differ."""
    rates = sorted({layer.attrs["growth_rate"] for layer in graph.regions_of("dense_layer", block)})
    return f"{rates[0]:,}" if len(rates) == 1 else f"{rates[0]:,} to {rates[-1]:,}"


def describe_extras(block: str, graph: Graph, bypassed: bool) -> list[str]:
    """Return what else a block does: its aggregation, layers of other steps,
    what of its input goes round them.
    """
    found = [
        f"aggregated to {region.attrs['out_channels']:,}"
        for region in graph.regions_of("aggregation", block)
    ]
    if others := find_unlike_layers(block, graph):
        numbers = ", ".join([*map(str, others[:8]), *["..."] * (len(others) > 8)])
        found.append(f"{'layer' if len(others) == 1 else 'layers'} {numbers} of other steps")
    found += ["a share of the input goes round the layers"] * bypassed
    return found + ["the input is added to the output"] * adds_input(block, graph)


def find_unlike_layers(block: str, graph: Graph) -> tuple[int, ...]:
    """Return the numbers of a block's layers that consist of other steps than most;
    of equally many, the first.
    """
    steps = [layer.attrs["part"].steps for layer in graph.regions_of("dense_layer", block)]
    usual = Counter(reversed(steps)).most_common(1)
    return tuple(number for number, own in enumerate(steps, start=1) if own != usual[0][0])


def adds_input(block: str, graph: Graph) -> bool:
    """Return whether a block adds its input to its output."""
    return any(op.kind == "add" for op in graph.members[block])


def find_skips(graph: Graph) -> list[tuple[str, str]]:
    """Return each stage that reads another than the one before it, behind that other stage."""
    stages = [region.name for region in graph.regions.values() if not region.parent]
    found = derive_ports(graph)
    makers = {value: name for name in stages for value in found[name].leaving}
    pairs = [
        (makers[value], name, before)
        for before, name in pairwise(stages)
        for value in found[name].entering
        if value in makers
    ]
    return [(source, name) for source, name, before in pairs if source != before]
