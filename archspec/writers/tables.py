"""A report as tables and a tree for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.table import Table
from rich.tree import Tree

from archspec.connectivity_rules import sources_of_layer
from archspec.errors import format_count
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.report import Report
from archspec.graph.shapes import infer_shapes
from archspec.operators.shape_rules import Shape
from archspec.writers.summary import describe_growth, find_skips


def write_summary(report: Report) -> str:
    """Return the totals in two lines, and a third one for the feature maps
    that are given beside the output.
    """
    before, after = format_pixels(report.input), format_pixels(report.output)
    params = format_count(report.params, "parameter")
    edges = format_count(report.edges, "direct connection")
    lines = [
        f"{report.name}: ({before}) -> ({after}), depth {report.depth}",
        f"{params} ({report.params_with_stats:,} with moving statistics), "
        f"{report.macs / 1e9:.3f} GMACs, {report.flops / 1e9:.3f} GFLOPs, {edges}",
    ]
    maps = [f"block {f.block} ({f.channels} channels, stride {f.stride})" for f in report.features]
    if maps:
        lines.append(f"feature maps: {', '.join(maps)}")
    return "\n".join(lines)


def make_stage_table(report: Report, graph: Graph) -> Table:
    """Return a row for each stage; connections are shown as found,
    beside what the rule's closed form says.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("layers", "k", "output", "params", "MMACs", "connections", "expected"):
        table.add_column(name, justify="right", no_wrap=True)
    blocks = {block.name: block for block in report.blocks}
    for stage in report.stages:
        block = blocks.get(stage.name)
        found = (str(block.layers), describe_growth(block.name, graph)) if block else ("", "")
        edges = (f"{block.edges:,}", f"{block.expected_edges:,}") if block else ("", "")
        counts = (f"{stage.params:,}", f"{stage.macs / 1e6:,.1f}")
        table.add_row(
            stage.name.removeprefix("features."),
            *found,
            format_pixels(stage.output),
            *counts,
            *edges,
        )
    return table


def make_tree(graph: Graph) -> Tree:
    """Return the stages with their operators;
    of layers that are alike the first two and the last are opened.
    """
    shapes, _ = infer_shapes(graph)
    joined = {target: source for source, target in find_skips(graph)}
    root = Tree(f"[bold]{graph.name}[/bold]")
    stages = [region for region in graph.regions.values() if not region.parent]
    for region in stages:
        branch = root.add(region.name)
        if region.name in joined:
            branch.add(f"joins the output of {joined[region.name]}")
        if region.kind == "dense_block":
            _add_layers(branch, graph, region.name, shapes)
        else:
            _add_operators(branch, graph, region.name, shapes)
    for op in graph.ops.values():
        if op.kind == "output":
            maker = op.inputs[0].rpartition(".")[0]
            root.add(f"{op.name}  {maker}  {format_pixels(shapes[op.name])}")
    return root


def _add_layers(branch: Tree, graph: Graph, block: str, shapes: Mapping[str, Shape]) -> None:
    layers = graph.regions_of("dense_layer", block)
    rates = [layer.attrs["growth_rate"] for layer in layers]
    if len({*rates}) > 1:
        branch.add(f"layers add {', '.join(map(str, rates))} channels")
    for _, alike in groupby(layers, key=lambda layer: layer.attrs["part"].steps):
        _add_run(branch, graph, [*alike], _describe_growth(block, graph), shapes)
    for region in graph.regions_of("aggregation", block):
        _add_operators(branch.add(_local_name(region.name)), graph, region.name, shapes)
    for op in graph.members[block]:
        if op.kind != "concat":
            branch.add(_describe_operator(op, shapes))


def _add_run(
    branch: Tree,
    graph: Graph,
    layers: Sequence[Region],
    each_reads: str,
    shapes: Mapping[str, Shape],
) -> None:
    """Successive layers of the same steps: the first two and the last are opened."""
    for number, layer in enumerate(layers, start=1):
        if 2 < number < len(layers):
            continue
        if number == len(layers) and number > 3:
            branch.add(f"... {len(layers) - 3} more{each_reads}")
        _add_operators(branch.add(_local_name(layer.name)), graph, layer.name, shapes)


def _describe_growth(block: str, graph: Graph) -> str:
    """How the layers between differ, where that is one number."""
    attrs = graph.regions[block].attrs
    layers = graph.regions_of("dense_layer", block)
    rates = {layer.attrs["growth_rate"] for layer in layers}
    wiring = attrs["connectivity"]
    numbers = range(1, len(layers) + 1)
    reads_one_more = all(len(sources_of_layer(wiring, number)) == number for number in numbers)
    if rates != {attrs["growth_rate"]} or not reads_one_more:
        return ""
    return f", each reads {attrs['growth_rate']} channels more"


def _add_operators(branch: Tree, graph: Graph, region: str, shapes: Mapping[str, Shape]) -> None:
    for op in graph.members[region]:
        branch.add(_describe_operator(op, shapes))


def _local_name(name: str) -> str:
    return name.rpartition(".")[2]


def _describe_operator(op: Op, shapes: Mapping[str, Shape]) -> str:
    size = f" {op.attrs['kernel']}x{op.attrs['kernel']}" if "kernel" in op.attrs else ""
    has_stride = op.attrs.get("stride") not in (None, 1)
    stride = f"/{op.attrs['stride']}" if has_stride else ""
    before, after = format_pixels(shapes[op.inputs[0]]), format_pixels(shapes[op.name])
    return f"{_local_name(op.name)}  {op.kind}{size}{stride}  {before} -> {after}"


def format_pixels(shape: Shape) -> str:
    """Return `3x224x224`: narrow enough for a table."""
    return "x".join(map(str, shape))
