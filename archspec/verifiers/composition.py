"""Does each region consist of the operators that its declaration comes to,
wired so, and of no others?

Connections and widths alone do not tell a layer from one without its activation. A part's steps are
expanded anew (archspec/graph/expand.py) and compared with the operators that the graph has; blocks
only join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from archspec.connectivity_rules import has_bypass
from archspec.errors import Diagnostic
from archspec.graph.connections import Ports, derive_ports, find_skip_source, layers_of
from archspec.graph.expand import Part, expand_part
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.shapes import running_order
from archspec.operators.attributes import DERIVED
from archspec.operators.table import OPERATORS, attribute


def check_composition(graph: Graph) -> Iterator[Diagnostic]:
    """Stem, layers, aggregations, transitions and head have their steps' operators;
    blocks only join.
    """
    position = {name: index for index, name in enumerate(running_order(graph))}
    found = derive_ports(graph)
    for region in graph.regions.values():
        members = sorted(graph.members[region.name], key=lambda op: position[op.name])
        if region.kind == "dense_block":
            yield from _check_joins(graph, region, members, found)
        else:
            yield from _check_part(region, members, find_skip_source(graph, region, found))
    for op in graph.members.get("", ()):
        if op.kind not in ("input", "output") and graph.regions:
            yield Diagnostic("G010", "belongs to no region", op.name)


def _check_part(region: Region, members: Sequence[Op], skip: Sequence[str]) -> Iterator[Diagnostic]:
    expected = _list_expected_ops(region.attrs["part"])
    if region.attrs.get("crop"):
        expected.append(("crop", {}, (len(expected) - 1,)))
    if region.attrs.get("skip"):
        # Behind its steps, and its crop, a transition joins what it made and what it skips to.
        joined = (len(expected) - 1, OUTSIDE)
        if region.attrs["skip_first"]:
            joined = joined[::-1]
        expected.append((region.attrs["join"], {}, joined))
        expected += _list_expected_ops(region.attrs["after"], len(expected))
    yield from _compare_ops(region, members, expected, skip)


ExpectedOp = tuple[str, Mapping[str, Any], tuple[int, ...]]
"""Kind, attributes, and the numbers of what it reads."""


def _list_expected_ops(part: Part, before: int = 0) -> list[ExpectedOp]:
    expected: list[ExpectedOp] = []
    for piece in expand_part(part):
        reads = tuple(before + read for read in piece.reads)
        expected.append((piece.kind, piece.attrs, reads))
    return expected


INPUT, OUTSIDE = -1, -2
"""What a piece reads that is not another piece:
the part's input, the output of an earlier block or the stem."""


def _compare_ops(
    region: Region, members: Sequence[Op], expected: Sequence[ExpectedOp], skip: Sequence[str]
) -> Iterator[Diagnostic]:
    kinds = [op.kind for op in members]
    wanted = [kind for kind, _, _ in expected]
    if kinds != wanted:
        message = f"consists of {', '.join(kinds) or 'nothing'}; the spec says {', '.join(wanted)}"
        yield Diagnostic("G010", message, region.name)
        return
    numbers = dict.fromkeys(skip, OUTSIDE)
    numbers |= {op.name: number for number, op in enumerate(members)}
    names = {INPUT: "what enters the part", OUTSIDE: "the skip"}
    names |= {number: op.name for number, op in enumerate(members)}
    for op, (_, attrs, reads) in zip(members, expected, strict=True):
        found = tuple(numbers.get(source, INPUT) for source in op.inputs)
        if found != reads:
            must = ", ".join(names[number] for number in reads)
            yield Diagnostic("G010", f"reads {', '.join(op.inputs)}, must read {must}", op.name)
        yield from _compare_attributes(op, attrs)


def _compare_attributes(op: Op, attrs: Mapping[str, Any]) -> Iterator[Diagnostic]:
    row = OPERATORS[op.kind]
    # What no step says, a crop, has what follows from the shapes, which other verifiers hold.
    is_said = row.step is not None or row.family
    derived = DERIVED if is_said else DERIVED.union(row.required)
    for name in sorted((attrs.keys() | op.attrs.keys()) - derived):
        found, wanted = attribute(op.kind, op.attrs, name), attribute(op.kind, attrs, name)
        if found != wanted:
            yield Diagnostic("G010", f"{name} (={found}) must be {wanted}", op.name)


BYPASS, AGGREGATED = -1, -2
"""The numbers of what bypasses a block's layers, and of what is made of all that it gathers."""


def _check_joins(
    graph: Graph, block: Region, members: Sequence[Op], found: Mapping[str, Ports]
) -> Iterator[Diagnostic]:
    """A block joins its layers' outputs, each once, and what goes round them at one end.

    In which order layers and output join them, `check_connections` holds.
    """
    wiring, entering = block.attrs["connectivity"], found[block.name].entering
    sources = _number_values(graph, block, found)
    kinds = {"concat": True, "slice": has_bypass(wiring), "add": block.attrs["residual"]}
    for op in members:
        if not kinds.get(op.kind):
            yield Diagnostic("G010", f"is a {op.kind}; a dense_block itself only joins", op.name)
            continue
        if op.kind == "add" and tuple(op.inputs[1:]) != entering:
            message = f"adds {', '.join(op.inputs)}, must add the block's input to its output"
            yield Diagnostic("G010", message, op.name)
        joined = tuple(chain.from_iterable(sources.get(source, ()) for source in op.inputs))
        # Of the two slices of a block's input, the one with its first channels goes round.
        is_bypass = op.kind == "slice" and op.attrs["start"] == 0
        sources[op.name] = (BYPASS,) if is_bypass else joined
        if op.kind == "concat":
            yield from _check_join(op, joined, wiring.bypass)


def _number_values(
    graph: Graph, block: Region, found: Mapping[str, Ports]
) -> dict[str, tuple[int, ...]]:
    """The sources that a block's values stand for: 0 is its input, then come its layers."""
    sources: dict[str, tuple[int, ...]] = dict.fromkeys(found[block.name].entering, (0,))
    for number, layer in enumerate(layers_of(graph, block), start=1):
        sources |= dict.fromkeys(found[layer.name].leaving, (number,))
    for region in graph.regions_of("aggregation", block.name):
        sources |= dict.fromkeys(found[region.name].leaving, (AGGREGATED,))
    return sources


def _check_join(op: Op, joined: tuple[int, ...], bypass: str | None) -> Iterator[Diagnostic]:
    if len({*joined}) < len(joined):
        message = f"joins sources {_format_numbers(joined)}, must join each once"
        yield Diagnostic("G010", message, op.name)
    if AGGREGATED in joined and {*joined} - {AGGREGATED, BYPASS}:
        numbers = _format_numbers(tuple(number for number in joined if number >= 0))
        message = f"joins sources {numbers} beside the aggregation, which is made of all of them"
        yield Diagnostic("G010", message, op.name)
    wrong_places = joined[:-1] if bypass == "last" else joined[1:]
    if BYPASS in wrong_places:
        message = f"must join what goes round the layers {bypass or 'first'}"
        yield Diagnostic("G010", message, op.name)


def _format_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown}, ..." if len(numbers) > 20 else shown
