"""What a network comes to, to compare it before and after a pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from archspec.compare.row_facts import is_written_out
from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters
from archspec.graph.shapes import infer_shapes
from archspec.operators.onnx_writing import as_it_is
from archspec.operators.table import OPERATORS

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network comes to."""

    operators: int
    """Those of the graph but its image; a scale and a shift are two."""
    parameters: int
    """Values that its file holds, moving statistics among them."""
    bytes_moved: int
    """Of feature maps, for one image: each operator reads each of its inputs once and writes its
    output once, 4 bytes a value, as without any fusion or cache. So it is the sum over operators of
    4 x (values of its inputs + values of its output); a scale and a shift do that twice, and what
    files do not have, such as dropout, never."""


def measure_cost(graph: Graph) -> Cost:
    """Return what a graph comes to whose shapes fit."""
    shapes, _ = infer_shapes(graph)
    operators = moved = 0
    for op in graph.ops.values():
        if not op.inputs:
            continue
        values = sum(prod(shapes[name]) for name in (*op.inputs, op.name))
        operators += 1 + is_written_out(op)
        moved += BYTES * values * _count_nodes(op)
    values = sum(prod(parameter.shape) for parameter in list_parameters(graph).values())
    return Cost(operators, values, moved)


def _count_nodes(op: Op) -> int:
    if OPERATORS[op.kind].write_onnx is as_it_is:
        return 0
    return 1 + is_written_out(op)
