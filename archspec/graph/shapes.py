"""Shapes of every value of a graph, and every operator whose inputs do not fit it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from archspec.errors import Diagnostic
from archspec.graph.ir import Graph, once_per_graph
from archspec.operators.shape_rules import Shape, ShapeFault
from archspec.operators.table import OPERATORS

KNOWN = "shapes"
"""Of what is derived of a graph: the shapes that its builder has inferred."""


@once_per_graph
def infer_shapes(graph: Graph) -> tuple[Mapping[str, Shape], tuple[Diagnostic, ...]]:
    """Return the shape of each operator's output, (C, H, W) or (C,),
    and a G006 fault for each that has none.

    What reads an operator without a shape has none either, and is not reported again.
    """
    if KNOWN in graph.derived:
        return MappingProxyType(graph.derived[KNOWN]), ()
    shapes: dict[str, Shape] = {}
    faults: list[Diagnostic] = []
    for name in running_order(graph):
        op = graph.ops[name]
        if any(source not in shapes for source in op.inputs):
            continue
        try:
            shapes[name] = OPERATORS[op.kind].shape(
                op.attrs, [shapes[source] for source in op.inputs]
            )
        except ShapeFault as fault:
            blamed = [op.inputs[position] for position in fault.inputs]
            message = f"{fault}, from {' and '.join(blamed)}" if blamed else str(fault)
            faults.append(Diagnostic("G006", message, name))
    return MappingProxyType(shapes), tuple(faults)


def keep_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> None:
    """Keep the shapes that whoever made a graph has inferred, where each operator has one."""
    if len(shapes) == len(graph.ops):
        graph.derived[KNOWN] = shapes


@once_per_graph
def running_order(graph: Graph) -> tuple[str, ...]:
    """Return the names in an order in which the operators can run: their own, where that is one."""
    if reads_only_what_stands_before(graph):
        return tuple(graph.ops)
    import networkx as nx

    return tuple(nx.topological_sort(graph.digraph))


@once_per_graph
def reads_only_what_stands_before(graph: Graph) -> bool:
    """Does every operator stand behind all that it reads? Such a graph has no cycle."""
    seen: set[str] = set()
    for name, op in graph.ops.items():
        if not seen.issuperset(op.inputs):
            return False
        seen.add(name)
    return True
