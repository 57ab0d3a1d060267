"""Passes that take away what a network does not need in evaluation; no number changes by them."""

from __future__ import annotations

from collections import defaultdict
from hashlib import sha256
from itertools import chain

import numpy as np

from archspec.compare.equal_operators import find_firsts
from archspec.compare.row_facts import is_idle
from archspec.compare.sliced_concats import without_unread
from archspec.compare.whole_map_pools import cuts_nothing
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import OPERATORS
from archspec.rewrites.costs import measure_cost
from archspec.rewrites.weighted_graph import WeightedGraph


def drop_idle(network: WeightedGraph) -> WeightedGraph:
    """Return the network without what gives its input as it is: dropout of any kind, a shuffle of
    one group, a factor of 1, a crop that cuts nothing off.
    """
    graph = network.graph
    shapes, _ = infer_shapes(graph)
    passed = dict[str, str]()
    for op in graph.ops.values():
        # What the network gives keeps its name.
        if not op.inputs or op.name in graph.outputs:
            continue
        if is_idle(op, shapes[op.inputs[0]][0]) or cuts_nothing(op, shapes):
            passed[op.name] = passed.get(op.inputs[0], op.inputs[0])
    return network.without(passed)


def merge_equal(network: WeightedGraph) -> WeightedGraph:
    """Return the network with each of its equal operators once: of one kind and attributes, that
    read the same and have equal weights, if any.
    """

    def tell_weights(op: Op) -> tuple[bytes, ...]:
        names = (f"{op.name}.{role}" for role in OPERATORS[op.kind].tensors(op.attrs))
        # Not the weights themselves, which would all be held a second time.
        return tuple(sha256(np.asarray(network.tensors[name]).tobytes()).digest() for name in names)

    graph = network.graph
    # An output is what nothing reads: it stands for no other.
    inner = {name: op for name, op in graph.ops.items() if name not in graph.outputs}
    first = find_firsts(inner, tell_weights)
    return network.without({name: one for name, one in first.items() if name != one})


def drop_unread(network: WeightedGraph) -> WeightedGraph:
    """Return the network without feature maps that slices leave out of all joins, and without what
    makes these alone; what is sliced of a join is joined of its parts.

    As it is where that moves no fewer bytes.
    """
    graph = without_unread(network.graph)
    cut = network.with_ops(graph.ops.values())
    # Joins of one part, or of joins, are what the next pass makes of both.
    gains = _count_bytes(flatten_joins(cut)) < _count_bytes(flatten_joins(network))
    return cut if gains else network


def _count_bytes(network: WeightedGraph) -> int:
    return measure_cost(network.graph).bytes_moved


def flatten_joins(network: WeightedGraph) -> WeightedGraph:
    """Return the network with concatenations that other ones alone read written out in these, and
    without those of a single value.
    """
    graph = network.graph
    inner = _find_inner_joins(graph)
    parts: dict[str, tuple[str, ...]] = {}
    kept: list[Op] = []
    for op in graph.ops.values():
        reads = tuple(chain.from_iterable(parts.get(source, (source,)) for source in op.inputs))
        if op.name in inner:
            parts[op.name] = reads
        else:
            kept.append(Op(op.name, op.kind, reads, op.attrs, op.region))
    return network.with_ops(kept)


def _find_inner_joins(graph: Graph) -> set[str]:
    readers = defaultdict[str, list[Op]](list)
    for op in graph.ops.values():
        for source in op.inputs:
            readers[source].append(op)
    joins = [op for op in graph.ops.values() if op.kind == "concat" and readers[op.name]]
    inner = set[str]()
    for op in joins:
        is_joined = all(reader.kind == "concat" for reader in readers[op.name])
        if is_joined or len(op.inputs) == 1:
            inner.add(op.name)
    return inner
