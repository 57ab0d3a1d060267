"""A graph and the tensors of its operators, which passes rewrite together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from archspec.compare.simplify import reroute
from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters

Tensors = Mapping[str, npt.NDArray[Any]]
"""Parameters and moving statistics by name, as `create_model` calls them."""


@dataclass(frozen=True, slots=True)
class WeightedGraph:
    """A graph, and the tensors of all its operators; a pass makes another one."""

    graph: Graph
    tensors: Tensors

    def with_ops(self, ops: Iterable[Op], tensors: Tensors | None = None) -> WeightedGraph:
        """Return the graph with these operators alone, and with those of the tensors that they
        have; `tensors` stand in place of others of their names.
        """
        graph = replace(self.graph, ops={op.name: op for op in ops})
        known = {**self.tensors, **(tensors or {})}
        return WeightedGraph(graph, {name: known[name] for name in list_parameters(graph)})

    def without(self, passed: Mapping[str, str]) -> WeightedGraph:
        """Return the graph without some operators; what read them reads what `passed` says."""
        kept = (op for name, op in self.graph.ops.items() if name not in passed)
        return self.with_ops(reroute(op, passed) for op in kept)
