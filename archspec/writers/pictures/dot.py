"""A graph as Graphviz DOT text: stages, layers, and one edge for each direct connection."""

from __future__ import annotations

from collections.abc import Iterator

from archspec.graph.connections import BlockConnections, derive_connections
from archspec.graph.ir import Graph
from archspec.graph.report import BlockReport, StageReport, report
from archspec.writers.pictures.diagrams import colour_of_source
from archspec.writers.pictures.layout import STAGES
from archspec.writers.summary import (
    adds_input,
    describe_connections,
    find_skips,
    format_dimensions,
    format_totals,
    shorten_name,
)


def to_dot(graph: Graph) -> str:
    """Return DOT text; a block is a cluster of its input, its layers and its output.

    The edges into the output or aggregation (dashed) are what it joins;
    what goes round the layers is dotted.
    """
    facts = report(graph)
    found = zip(facts.blocks, derive_connections(graph), strict=True)
    blocks = {block.name: (block, connections) for block, connections in found}
    title = quote(f"{shorten_name(graph.name)}: {format_totals(facts)}")
    lines = [
        f"digraph {quote(graph.name)} {{",
        f"  label={title}; labelloc=t; fontname=sans; rankdir=TB;",
        "  node [shape=box, style=filled, fontname=sans, fontsize=11]; edge [arrowsize=0.5];",
        f"  input [label={quote(f'input {format_dimensions(facts.input)}')}, fillcolor=white];",
    ]
    end, ends = "input", dict[str, str]()
    for number, stage in enumerate(facts.stages):
        own = f"s{number}"
        if stage.name in blocks:
            lines += _write_block(own, stage, *blocks[stage.name], graph)
            lines.append(f"  {end} -> {own}_0;")
            end = f"{own}_out"
        else:
            lines += [f"  {own} [{_write_label(stage)}];", f"  {end} -> {own};"]
            end = own
        ends[stage.name] = end
    for source, target in find_skips(graph):
        lines.append(f"  {ends[source]} -> {ends[target]} [style=dashed, color=gray];")
    return "\n".join([*lines, "}"]) + "\n"


def quote(text: str) -> str:
    """Return a DOT string: quotes and backslashes
    (`\\N` would stand for the node's name) are text.
    """
    return '"' + shorten_name(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_label(stage: StageReport) -> str:
    # The \n between the parts is DOT's line break, so only the parts are quoted.
    parts = (stage.name, format_dimensions(stage.output), f"{stage.params:,} parameters")
    label = "\\n".join(quote(part)[1:-1] for part in parts)
    return f'label="{label}", fillcolor="{STAGES[stage.kind][0]}"'


def _write_block(
    own: str, stage: StageReport, block: BlockReport, found: BlockConnections, graph: Graph
) -> Iterator[str]:
    layers = len(found.sources)
    yield f"  subgraph cluster_{own} {{"
    yield f"    label={quote(f'{block.name}: {describe_connections(block, graph)}')};"
    yield f'    {own}_0 [label="block\'s input", fillcolor=white];'
    for layer in range(1, layers + 1):
        colour = colour_of_source(layer, layers)
        yield f'    {own}_{layer} [label="layer {layer}", fillcolor=white, color="{colour}"];'
    yield f"    {own}_out [{_write_label(stage)}];"
    for source in range(layers):
        colour = colour_of_source(source, layers)
        numbers = [n for n, read in enumerate(found.sources, start=1) if source in read]
        readers = " ".join(f"{own}_{number}" for number in numbers)
        if readers:
            yield f'    {own}_{source} -> {{{readers}}} [color="{colour}"];'
    gathered = " ".join(f"{own}_{source}" for source in sorted(found.gathered))
    joined = f"{own}_out"
    for region in graph.regions_of("aggregation", block.name):
        joined = f"{own}_aggregate"
        label = f"aggregate, {region.attrs['out_channels']} channels"
        yield f'    {joined} [label="{label}", fillcolor=white];'
        yield f"    {joined} -> {own}_out [color=gray];"
    yield f"    {{{gathered}}} -> {joined} [style=dashed, color=gray];"
    if found.bypassed or adds_input(block.name, graph):
        yield f"    {own}_0 -> {own}_out [style=dotted];"
    yield "  }"
