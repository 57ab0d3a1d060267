"""Every tensor of a network, by MindSpore's names and in MindSpore's order:
what a checkpoint of it must hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from archspec.graph.ir import Graph
from archspec.operators.shape_rules import Shape
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor of an operator."""

    kind: str
    """The operator's."""
    role: str
    """The last part of its name:
    `weight`, `bias`, `gamma`, `beta`, `moving_mean`, `moving_variance`."""
    shape: Shape
    operator: str


def list_parameters(graph: Graph) -> dict[str, Parameter]:
    """Return the tensors of a graph by name, moving statistics included."""
    return {
        f"{op.name}.{role}": Parameter(op.kind, role, shape, op.name)
        for op in graph.ops.values()
        for role, shape in OPERATORS[op.kind].tensors(op.attrs).items()
    }
