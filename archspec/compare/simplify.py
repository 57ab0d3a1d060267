"""Other ways to write one function, as one:
what a compiler may do to a graph, or a person write in its place.

None of this needs a weight. `joins` does it to both graphs before they are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import OPERATORS


def count_channels(op: Op, known: Mapping[str, int]) -> int:
    """Return how many channels an operator gives, those of what it reads being known."""
    return OPERATORS[op.kind].channels(op.attrs, [known[source] for source in op.inputs])


def is_idle(op: Op, channels: int) -> bool:
    """Return whether an operator that reads so many channels gives them as they are,
    in evaluation mode.
    """
    return OPERATORS[op.kind].is_idle(op.attrs, channels)


def drop_whole_crops(graph: Graph) -> Graph:
    """Return a spec's graph without the crops that cut nothing off;
    readers leave those of a file out.
    """
    crops = [op for op in graph.ops.values() if op.kind == "crop"]
    if not crops:
        return graph
    shapes, _ = infer_shapes(graph)
    whole: dict[str, str] = {}
    for op in crops:
        if tuple(op.attrs["size"]) == shapes[op.inputs[0]][1:]:
            whole[op.name] = op.inputs[0]
    ops: dict[str, Op] = {}
    for name, op in graph.ops.items():
        if name not in whole:
            ops[name] = _reroute(op, whole)
    return replace(graph, ops=ops)


def _reroute(op: Op, passed: Mapping[str, str]) -> Op:
    """The operator, reading what stands before those that are passed by."""
    return replace(op, inputs=tuple(passed.get(source, source) for source in op.inputs))


def fuse_gates(graph: Graph) -> Graph:
    """Return the graph with x times sigmoid(x) as what it is, a SiLU; and so a hard swish."""
    ops, made = graph.ops, dict[str, Op]()
    for op in ops.values():
        for x, gate in (op.inputs, op.inputs[::-1]) if op.kind == "multiply" else ():
            kind = OPERATORS[ops[gate].kind].times_input
            if kind and ops[gate].inputs == (x,):
                made[op.name] = replace(op, kind=kind, inputs=(x,))
    if not made:
        return graph
    changed = {name: made.get(name, op) for name, op in ops.items()}
    read = Counter(source for op in changed.values() for source in op.inputs)
    gates = {
        gate
        for name in made
        for gate in ops[name].inputs
        if OPERATORS[ops[gate].kind].times_input and not read[gate]
    }
    return replace(graph, ops={name: op for name, op in changed.items() if name not in gates})


def drop_repeated_relus(graph: Graph) -> Graph:
    """Return the graph without a ReLU before another or before a ReLU6,
    which cut off the same and more.
    """
    ops = graph.ops
    passed = dict[str, str]()
    for op in ops.values():
        before = ops[op.inputs[0]] if OPERATORS[op.kind].is_clamp else op
        if before is not op and before.kind == "relu":
            passed[op.name] = passed.get(before.name, before.inputs[0])
    if not passed:
        return graph
    kept = dict(ops)
    for name, source in passed.items():
        kept[name] = replace(ops[name], inputs=(source,))
    return replace(graph, ops=keep_leading_to(graph.outputs, kept))


def drop_undone_shuffles(graph: Graph) -> Graph:
    """Return the graph without two shuffles in a row of which the second undoes the first."""
    ops, channels, passed = graph.ops, dict[str, int](), dict[str, str]()
    for op in ops.values():
        channels[op.name] = count_channels(op, channels)
        before = ops[op.inputs[0]] if op.kind == "shuffle" else op
        if before is op or before.kind != "shuffle" or op.name in graph.outputs:
            continue
        # g groups of c are transposed to c groups of g, and so back again.
        if before.attrs["groups"] * op.attrs["groups"] == channels[op.name]:
            passed[op.name] = passed.get(before.inputs[0], before.inputs[0])
    if not passed:
        return graph
    kept = {name: _reroute(op, passed) for name, op in ops.items()}
    return replace(graph, ops=keep_leading_to(graph.outputs, kept))


def merge_sums(graph: Graph) -> Graph:
    """Return the graph with the sum of a sum and a value as one sum of three."""
    read = Counter(source for op in graph.ops.values() for source in op.inputs)
    ops: dict[str, Op] = {}
    for op in graph.ops.values():
        if op.kind == "add":
            op = _take_in_sums(op, ops, read)
        ops[op.name] = op
    return replace(graph, ops=ops) if len(ops) < len(graph.ops) else graph


def _take_in_sums(op: Op, ops: dict[str, Op], read: Mapping[str, int]) -> Op:
    """A sum with the parts of those sums that it alone reads, which are dropped from `ops`."""
    parts = list[str]()
    for source in op.inputs:
        # A sum that others read is a value of its own.
        if ops[source].kind == "add" and read[source] == 1:
            parts.extend(ops.pop(source).inputs)
        else:
            parts.append(source)
    return replace(op, inputs=tuple(parts))


def keep_leading_to(ends: Iterable[str], ops: Mapping[str, Op]) -> dict[str, Op]:
    """Return the operators that some values depend on, in their order."""
    used, waiting = set[str](), [*ends]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(ops[name].inputs)
    return {name: op for name, op in ops.items() if name in used}
