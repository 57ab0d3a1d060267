"""A rewritten network is held to what the spec says, as a file of it is.

What a spec declares of its regions, how many operators of which kind, a rewritten graph has no
more, so of the verifiers those are asked that need no declaration. All else the comparison says:
operators, settings, what each reads, and the connections of every block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from archspec.compare.optimized import compare_optimized
from archspec.compare.row_facts import is_written_out
from archspec.compare.whole_map_pools import as_it_is_read
from archspec.errors import ArchspecError, Diagnostic
from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters
from archspec.rewrites.weighted_graph import WeightedGraph
from archspec.verifiers.verify import check_acyclic, check_connected, check_shapes
from archspec.verifiers.well_formed import check_well_formed


def prove(spec_graph: Graph, network: WeightedGraph, name: str) -> None:
    """Raise ArchspecError (W005) unless a rewritten network is whole and still the spec's.

    `name` is the pass that made it.
    """
    faults = [*_find_faults(network)] or _find_differences(spec_graph, network.graph)
    if faults:
        message = f"is not written: {name}: {faults[0].message}"
        raise ArchspecError.one("W005", message, faults[0].where, "leave out --optimize")


def _find_faults(network: WeightedGraph) -> list[Diagnostic]:
    graph = _with_each_eps(network.graph)
    for verifier in (check_well_formed, check_acyclic, check_connected, check_shapes):
        if faults := [*verifier(graph)]:
            return faults
    return [*_check_tensors(network)]


def _with_each_eps(graph: Graph) -> Graph:
    """Well formed is a norm with an eps; to one that is a scale and a shift, any is right."""
    ops = dict[str, Op]()
    for name, op in graph.ops.items():
        ops[name] = replace(op, attrs={**op.attrs, "eps": 1e-5}) if is_written_out(op) else op
    return replace(graph, ops=ops)


def _check_tensors(network: WeightedGraph) -> Iterator[Diagnostic]:
    """Each operator has its tensors, of the shapes that its attributes say, and there are no
    others.
    """
    wanted = {name: parameter.shape for name, parameter in list_parameters(network.graph).items()}
    found = {name: np.shape(tensor) for name, tensor in network.tensors.items()}
    for name in wanted.keys() | found.keys():
        if wanted.get(name) != found.get(name):
            message = f"has the shape {found.get(name)}, must have {wanted.get(name)}"
            yield Diagnostic("W005", message, name)


def _find_differences(spec_graph: Graph, graph: Graph) -> list[Diagnostic]:
    # As it would be read of a file, in which nothing says which region an operator is in.
    ops = as_it_is_read(graph).ops.values()
    bare = Graph.of(graph.name, [replace(op, region="") for op in ops])
    return [*compare_optimized(spec_graph, bare).differences]
