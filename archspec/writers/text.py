"""A report as tables and a tree for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.tree import Tree

from archspec.errors import counted
from archspec.graph.ir import Graph, Op
from archspec.graph.operators import Shape
from archspec.graph.shapes import infer_shapes
from archspec.passes.report import Report


def summary(report: Report) -> str:
    """Return the totals in two lines."""
    return (
        f"{report.name}: ({pixels(report.input)}) -> ({pixels(report.output)}), depth {report.depth}\n"
        f"{counted(report.params, 'parameter')} ({report.params_with_stats:,} with moving statistics), "
        f"{report.macs / 1e9:.3f} GMACs, {report.flops / 1e9:.3f} GFLOPs, {counted(report.edges, 'direct connection')}"
    )


def stage_table(report: Report) -> Table:
    """Return a row for each stage; connections are shown as found, beside what the rule's closed form says."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("layers", "k", "output", "params", "MMACs", "connections", "expected"):
        table.add_column(name, justify="right", no_wrap=True)
    blocks = {block.name: block for block in report.blocks}
    for stage in report.stages:
        block = blocks.get(stage.name)
        found = (str(block.layers), str(block.growth_rate)) if block else ("", "")
        edges = (f"{block.edges:,}", f"{block.expected_edges:,}") if block else ("", "")
        counts = (f"{stage.params:,}", f"{stage.macs / 1e6:,.1f}")
        table.add_row(stage.name.removeprefix("features."), *found, pixels(stage.output), *counts, *edges)
    return table


def tree(graph: Graph) -> Tree:
    """Return the stages with their operators; of a block's layers the first and the last are opened."""
    shapes, _ = infer_shapes(graph)
    root = Tree(f"[bold]{graph.name}[/bold]")
    for region in (r for r in graph.regions.values() if not r.parent):
        branch = root.add(region.name)
        layers = graph.regions_of("dense_layer", region.name)
        for op in graph.members[region.name] if not layers else ():
            branch.add(_line(op, shapes))
        for number, layer in enumerate(layers, start=1):
            if 2 < number < len(layers):
                continue
            if number == len(layers) and number > 3:
                branch.add(f"... {len(layers) - 3} more, each reads {layer.attrs['growth_rate']} channels more")
            leaf = branch.add(layer.name.rpartition(".")[2])
            for op in graph.members[layer.name]:
                leaf.add(_line(op, shapes))
    return root


def _line(op: Op, shapes: dict[str, Shape]) -> str:
    size = f" {op.attrs['kernel']}x{op.attrs['kernel']}" if "kernel" in op.attrs else ""
    stride = f"/{op.attrs['stride']}" if op.attrs.get("stride", 1) > 1 else ""
    before = pixels(shapes[op.inputs[0]])
    return f"{op.name.rpartition('.')[2]}  {op.kind}{size}{stride}  {before} -> {pixels(shapes[op.name])}"


def pixels(shape: Shape) -> str:
    """Return `3x224x224`: narrow enough for a table."""
    return "x".join(map(str, shape))
