"""Ways to write one function that the number of pixels makes the same.

a pool of 7 x 7 pixels over a map of 7 x 7        is the maximum, or the mean, of the whole map
a global_pool over a map of one pixel             is that pixel
conv, relu, global_pool where there is one pixel  is global_pool, dense, relu
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from archspec.compare.simplify import reroute
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.shape_rules import Shape, is_whole_map, without_pixels
from archspec.operators.table import GLOBAL_POOLS, OPERATORS

Shapes = Mapping[str, Shape]

PIXEL = (1, 1)
_IDLE: Mapping[str, Any] = {"kernel": 1, "stride": 1, "padding": 0}


def as_it_is_read(graph: Graph) -> Graph:
    """Return a spec's graph as readers give that of a file.

    Crops that cut nothing off are left out, a maximum of the whole map is a global pool, and of
    one pixel the mean.
    """
    if not any(map(_may_be_read_otherwise, graph.ops.values())):
        return graph
    shapes, _ = infer_shapes(graph)
    whole: dict[str, str] = {}
    for op in graph.ops.values():
        if cuts_nothing(op, shapes):
            whole[op.name] = op.inputs[0]
    ops: dict[str, Op] = {}
    for name, op in graph.ops.items():
        if name not in whole:
            ops[name] = reroute(_over_all_pixels(op, shapes), whole)
    return replace(graph, ops=ops)


def cuts_nothing(op: Op, shapes: Shapes) -> bool:
    """Return whether an operator is a crop that leaves every pixel in."""
    return OPERATORS[op.kind].cuts_pixels and shapes[op.name] == shapes[op.inputs[0]]


def _may_be_read_otherwise(op: Op) -> bool:
    row = OPERATORS[op.kind]
    return bool(row.cuts_pixels or row.is_read_as_whole or row.over_one_pixel)


def _over_all_pixels(op: Op, shapes: Shapes) -> Op:
    row = OPERATORS[op.kind]
    if row.over_one_pixel and _reads_pixel(op, shapes):
        return replace(op, kind=row.over_one_pixel)
    if not row.is_read_as_whole or _reads_pixel(op, shapes):
        return op
    return _as_whole_map_pool(op, shapes)


def have_alike_outputs(graph: Graph, other: Graph) -> bool:
    """Return whether two graphs have as many outputs, vectors or maps in the same order."""
    return _are_vectors(graph) == _are_vectors(other)


def _are_vectors(graph: Graph) -> list[bool]:
    # Not by shapes: files have norms of vectors, which the language does not.
    vectors: dict[str, bool] = {}
    for op in graph.ops.values():
        is_first = op.kind == "dense" or _makes_vector(op)
        vectors[op.name] = is_first or (bool(op.inputs) and vectors[op.inputs[0]])
    return [vectors[name] for name in graph.outputs]


def _makes_vector(op: Op) -> bool:
    return op.kind in GLOBAL_POOLS and not op.attrs.get("keep")


def simplify_pools(graph: Graph) -> Graph:
    """Return a graph, a spec's or a file's, without pools that give the one pixel they read,
    and with the mean over a window that is the whole map as a global pool.

    Exporters leave the former out. Those that make a vector of it are dropped too, so of two graphs
    that are equal then the outputs may still be a vector and a map: see `have_alike_outputs`.
    """
    # A file's shapes may not fit; what has none stays as it is.
    shapes, _ = infer_shapes(graph)
    ops = {name: _as_whole_map_pool(op, shapes) for name, op in graph.ops.items()}
    idle = [op for op in graph.ops.values() if _gives_its_pixel(op, shapes)]
    if not idle and ops == graph.ops:
        return graph
    passed: dict[str, str] = {}
    for op in idle:
        if _makes_vector(op):
            ops |= {made.name: made for made in _as_vectors(graph, ops, shapes, op)}
    for op in idle:
        if op.name in graph.outputs:
            # What the network gives stays where it is, and does nothing.
            ops[op.name] = replace(op, kind="avg_pool", attrs=_IDLE)
        else:
            passed[op.name] = passed.get(op.inputs[0], op.inputs[0])
            del ops[op.name]
    return replace(graph, ops={name: reroute(op, passed) for name, op in ops.items()})


def _as_whole_map_pool(op: Op, shapes: Shapes) -> Op:
    """A pool over a window that is the whole map, as one over all pixels."""
    kind = OPERATORS[op.kind].over_whole_map
    if not kind or not is_whole_map(op.attrs, shapes.get(op.inputs[0], ())[1:]):
        return op
    return replace(op, kind=kind, attrs={"keep": True})


def _reads_pixel(op: Op, shapes: Shapes) -> bool:
    return shapes.get(op.inputs[0], ())[1:] == PIXEL


def _gives_its_pixel(op: Op, shapes: Shapes) -> bool:
    """A pool over one pixel that gives one, or makes a vector of it."""
    if not OPERATORS[op.kind].keeps_one_pixel(op.attrs) or not _reads_pixel(op, shapes):
        return False
    return op.name in shapes and shapes[op.name][1:] in (PIXEL, ())


def _as_vectors(graph: Graph, ops: Mapping[str, Op], shapes: Shapes, pool: Op) -> Iterator[Op]:
    """What leads to a pool that makes a vector of one pixel, as it is behind that pool.

    Readers have it so: what a file flattens, they follow back to where its pixels ended.
    """
    op = ops[pool.inputs[0]]
    # No further than the first value that others read too: for them it is still a map.
    while _is_read_once(graph, op) and _reads_pixel(op, shapes):
        other = OPERATORS[op.kind].over_vector(op.attrs)
        if other is not None:
            yield replace(op, kind=other[0], attrs=other[1])
        op = ops[op.inputs[0]]
    if op.kind in GLOBAL_POOLS and _is_read_once(graph, op):
        yield replace(op, attrs=without_pixels(op.attrs))


def _is_read_once(graph: Graph, op: Op) -> bool:
    """Whether it lies on a way without forks: it reads one value, and one reads it."""
    return len(op.inputs) == 1 and bool(graph.digraph.out_degree(op.name) == 1)
