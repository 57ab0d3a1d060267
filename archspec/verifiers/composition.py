"""Does each region consist of the operators that its declaration comes to, wired so, and of no others?

Connections and widths alone do not tell a layer from one without its activation. A part's steps are expanded
anew (archspec/graph/expand.py) and compared with the operators that the graph has; blocks only join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from archspec.connectivity_rules import has_bypass
from archspec.errors import Diagnostic
from archspec.graph.connections import Ports, beside, layers_of, ports
from archspec.graph.expand import Part, expand
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.shapes import running_order
from archspec.operators.operator import DERIVED
from archspec.operators.table import attribute


def composed(graph: Graph) -> Iterator[Diagnostic]:
    """Stem, layers, aggregations, transitions and head have their steps' operators; blocks only join."""
    position = {name: index for index, name in enumerate(running_order(graph))}
    found = ports(graph)
    for region in graph.regions.values():
        members = sorted(graph.members[region.name], key=lambda op: position[op.name])
        if region.kind == "dense_block":
            yield from _only_joins(graph, region, members, found)
        else:
            yield from _part(region, members, beside(graph, region, found))
    for op in graph.members.get("", ()):
        if op.kind not in ("input", "output") and graph.regions:
            yield Diagnostic("G010", "belongs to no region", op.name)


def _part(region: Region, members: Sequence[Op], skip: Sequence[str]) -> Iterator[Diagnostic]:
    expected = _expected(region.attrs["part"])
    if region.attrs.get("crop"):
        expected.append(("crop", {}, (len(expected) - 1,)))
    if region.attrs.get("skip"):
        joined = (len(expected) - 1, OUTSIDE)
        if region.attrs["skip_first"]:
            joined = joined[::-1]
        expected.append((region.attrs["join"], {}, joined))
        expected += _expected(region.attrs["after"], len(expected))
    yield from _compared(region, members, expected, skip)


Expected = tuple[str, Mapping[str, Any], tuple[int, ...]]
"""Kind, attributes, and the numbers of what it reads."""


def _expected(part: Part, before: int = 0) -> list[Expected]:
    return [
        (piece.kind, piece.attrs, tuple(before + read for read in piece.reads))
        for piece in expand(part)
    ]


INPUT, OUTSIDE = -1, -2
"""What a piece reads that is not another piece: the part's input, the output of an earlier block or the stem."""


def _compared(
    region: Region, members: Sequence[Op], expected: Sequence[Expected], skip: Sequence[str]
) -> Iterator[Diagnostic]:
    kinds, wanted = [op.kind for op in members], [kind for kind, _, _ in expected]
    if kinds != wanted:
        message = f"consists of {', '.join(kinds) or 'nothing'}; the spec says {', '.join(wanted)}"
        yield Diagnostic("G010", message, region.name)
        return
    index = {op.name: number for number, op in enumerate(members)}
    for op, (_, attrs, reads) in zip(members, expected, strict=True):
        found = tuple(
            index.get(source, OUTSIDE if source in skip else INPUT) for source in op.inputs
        )
        if found != reads:
            outside = {INPUT: "what enters the part", OUTSIDE: "the skip"}
            must = ", ".join(
                outside[number] if number < 0 else members[number].name for number in reads
            )
            yield Diagnostic("G010", f"reads {', '.join(op.inputs)}, must read {must}", op.name)
        yield from _attributes(op, attrs)


def _attributes(op: Op, attrs: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name in sorted((attrs.keys() | op.attrs.keys()) - DERIVED - {"size", "corner"}):
        found, wanted = attribute(op.kind, op.attrs, name), attribute(op.kind, attrs, name)
        if found != wanted:
            yield Diagnostic("G010", f"{name} (={found}) must be {wanted}", op.name)


AROUND = -1
"""The number of what bypasses a block's layers."""


def _only_joins(
    graph: Graph, block: Region, members: Sequence[Op], found: Mapping[str, Ports]
) -> Iterator[Diagnostic]:
    """A block joins its layers' outputs, each once, and what goes round them at one end.

    In which order layers and output join them, `densely_connected` holds.
    """
    sources: dict[str, tuple[int, ...]] = dict.fromkeys(found[block.name].entering, (0,))
    for number, layer in enumerate(layers_of(graph, block), start=1):
        sources |= dict.fromkeys(found[layer.name].leaving, (number,))
    for region in graph.regions_of("aggregation", block.name):
        sources |= dict.fromkeys(found[region.name].leaving, (block.attrs["num_layers"] + 1,))
    wiring = block.attrs["connectivity"]
    kinds = {
        "concat": True,
        "slice": has_bypass(wiring),
        "add": block.attrs["residual"],
    }
    for op in members:
        if not kinds.get(op.kind):
            yield Diagnostic("G010", f"is a {op.kind}; a dense_block itself only joins", op.name)
            continue
        if op.kind == "add" and tuple(op.inputs[1:]) != found[block.name].entering:
            yield Diagnostic(
                "G010",
                f"adds {', '.join(op.inputs)}, must add the block's input to its output",
                op.name,
            )
        joined = tuple(chain.from_iterable(sources.get(source, ()) for source in op.inputs))
        sources[op.name] = (AROUND,) if op.kind == "slice" and op.attrs["start"] == 0 else joined
        if op.kind == "concat" and len({*joined}) < len(joined):
            message = f"joins sources {_listed(joined)}, must join each once"
            yield Diagnostic("G010", message, op.name)
        wrong_places = joined[:-1] if wiring.bypass == "last" else joined[1:]
        if op.kind == "concat" and AROUND in wrong_places:
            message = f"must join what goes round the layers {wiring.bypass or 'first'}"
            yield Diagnostic("G010", message, op.name)


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown}, ..." if len(numbers) > 20 else shown
