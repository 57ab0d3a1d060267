"""A network of which parts are computed again in the backward pass, and what that must not change.

MindSpore's `Cell.recompute` computes a part anew from what entered it. Two things would come out
otherwise than without: dropout would draw another mask, and batch norm would move its statistics a
second time. So what draws is kept, and statistics come back (`FirstStatistics`).
"""

from __future__ import annotations

from typing import Any

from archspec.graph.ir import Graph
from archspec.train.engine.memory import find_recomputed, list_regions
from archspec.train.recipe.recompute import RecomputeKind


def recompute_parts(network: Any, graph: Graph, kind: RecomputeKind) -> None:
    """Mark the cells of a graph's network that are computed again, and what is kept in them."""
    cells = dict(network.cells_and_names())
    regions = [region for region in list_regions(graph, kind) if region in cells]
    for region in regions:
        cells[region].recompute()
    recomputed = find_recomputed(graph, kind)
    inside = tuple(f"{region}." for region in regions)
    for name in graph.ops:
        if name.startswith(inside) and name in cells and name not in recomputed:
            _keep(cells[name])


def _keep(cell: Any) -> None:
    for _, part in cell.cells_and_names():
        for primitive in part._primitives.values():
            primitive.recompute(False)
