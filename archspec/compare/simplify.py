"""Other ways to write one function, as one:
what a compiler may do to a graph, or a person write in its place.

None of this needs a weight. `joins` does it to both graphs before they are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

from archspec.compare.row_facts import count_channels, has_statistics, is_idle, is_written_out
from archspec.graph.ir import Graph, Op
from archspec.operators.operator import Operator
from archspec.operators.table import OPERATORS, ROWS


def reroute(op: Op, passed: Mapping[str, str]) -> Op:
    """Return the operator, reading what stands before those that are passed by."""
    return replace(op, inputs=tuple(passed.get(source, source) for source in op.inputs))


def by_plainest_kind(graph: Graph) -> Graph:
    """Return the graph with each operator as the plainest kind that it is:
    what has fewer attributes.
    """
    ops = {name: _plainest(op) for name, op in graph.ops.items()}
    return replace(graph, ops=ops) if ops != graph.ops else graph


def _plainest(op: Op) -> Op:
    row = OPERATORS[op.kind]
    kind = row.same_as(op.attrs)
    if not kind:
        return op
    left_out = {*row.required} - {*OPERATORS[kind].required}
    attrs = {key: value for key, value in op.attrs.items() if key not in left_out}
    return replace(op, kind=kind, attrs=attrs)


def fuse_gates(graph: Graph) -> Graph:
    """Return the graph with x times sigmoid(x) as what it is, a SiLU; and so a hard swish."""
    ops, made = graph.ops, dict[str, Op]()
    factors = set[str]()
    for op in ops.values():
        fused = _fuse_gate(op, ops)
        if fused is not None:
            made[op.name] = fused
            factors.update(op.inputs)
    if not made:
        return graph
    changed = {name: made.get(name, op) for name, op in ops.items()}
    # A gate that something else reads, such as a second product, is still an operator.
    read = _count_reads(changed)
    gates = {name for name in factors if OPERATORS[ops[name].kind].times_input and not read[name]}
    return replace(graph, ops={name: op for name, op in changed.items() if name not in gates})


def _fuse_gate(op: Op, ops: Mapping[str, Op]) -> Op | None:
    """A product of a value with its own gate as one operator; either may come first."""
    if not OPERATORS[op.kind].is_product:
        return None
    fused = None
    for x, gate in (op.inputs, op.inputs[::-1]):
        kind = OPERATORS[ops[gate].kind].times_input
        if kind and ops[gate].inputs == (x,):
            fused = replace(op, kind=kind, inputs=(x,))
    return fused


def _count_reads(ops: Mapping[str, Op]) -> Counter[str]:
    """How often each value is read; twice by one operator counts twice."""
    return Counter(chain.from_iterable(op.inputs for op in ops.values()))


def drop_repeated_relus(graph: Graph) -> Graph:
    """Return the graph with two in a row that cut off values as one that cuts off the same.

    Each is of the kind with the fewest settings that has its bounds. What does nothing may stand
    between, such as dropout.
    """
    ops, channels = dict(graph.ops), dict[str, int]()
    for op in graph.ops.values():
        channels[op.name] = count_channels(op, channels)
        bounds = _interval(op)
        if bounds is None:
            continue
        x = ops[op.inputs[0]]
        while len(x.inputs) == 1 and is_idle(x, channels[x.inputs[0]]):
            x = ops[x.inputs[0]]
        before = _interval(x)
        # The first stays in `ops` for others that read it; where none does, it is dropped below.
        both = None if before is None else _within(before, bounds)
        made = both or bounds
        ops[op.name] = replace(_between(op, *made), inputs=x.inputs if both else op.inputs)
    if ops == graph.ops:
        return graph
    return replace(graph, ops=keep_leading_to(graph.outputs, ops))


def _interval(op: Op) -> tuple[float, float] | None:
    interval = OPERATORS[op.kind].interval
    return None if interval is None else interval(op.attrs)


def _within(first: tuple[float, float], then: tuple[float, float]) -> tuple[float, float] | None:
    """The bounds of two in a row; None where nothing is left between them."""
    low, high = (min(max(bound, then[0]), then[1]) for bound in first)
    return (low, high) if low < high else None


def _between(op: Op, *bounds: float) -> Op:
    made = (_with_bounds(op, row, bounds) for row in _OF_BOUNDS)
    return next(each for each in made if _interval(each) == bounds)


def _with_bounds(op: Op, row: Operator, bounds: tuple[float, ...]) -> Op:
    """A kind with settings has the bounds as these; one without, such as a ReLU, has its own."""
    return replace(op, kind=row.kind, attrs=dict(zip(row.settings, bounds, strict=False)))


_OF_BOUNDS = sorted(
    (row for row in ROWS if row.interval is not None), key=lambda row: len(row.settings)
)


def drop_undone_shuffles(graph: Graph) -> Graph:
    """Return the graph without two operators in a row of which the second undoes the first:
    shuffles of any kind.
    """
    ops, channels, passed = graph.ops, dict[str, int](), dict[str, str]()
    for op in ops.values():
        channels[op.name] = count_channels(op, channels)
        if len(op.inputs) != 1 or op.name in graph.outputs:
            continue
        before = ops[op.inputs[0]]
        if before.inputs and _is_undone(before, op, channels[op.name]):
            passed[op.name] = passed.get(before.inputs[0], before.inputs[0])
    if not passed:
        return graph
    kept = {name: reroute(op, passed) for name, op in ops.items()}
    return replace(graph, ops=keep_leading_to(graph.outputs, kept))


def _is_undone(op: Op, behind: Op, channels: int) -> bool:
    row = OPERATORS[op.kind]
    if op.kind == behind.kind:
        return row.undoes_itself(op.attrs, behind.attrs, channels)
    return row.undone_by == behind.kind and op.attrs == behind.attrs


def write_alike(spec: Graph, found: Graph) -> tuple[Graph, Graph]:
    """Return both graphs, without scales before batch norms where the file writes norms as scales.

    Which of several factors in a row is the norm's own, such a file does not tell.
    """
    are_written = any(map(is_written_out, found.ops.values()))
    return (_without_scales(spec), _without_scales(found)) if are_written else (spec, found)


def _without_scales(graph: Graph) -> Graph:
    ops = graph.ops
    read = _count_reads(ops)
    passed = dict[str, str]()
    for op in ops.values():
        scale = ops[op.inputs[0]] if has_statistics(op) else op
        # What others read too is no factor of the norm's alone.
        while scale is not op and _is_scale(scale) and read[scale.name] == 1:
            passed[scale.name], scale = scale.inputs[0], ops[scale.inputs[0]]
    if not passed:
        return graph
    kept: dict[str, Op] = {}
    for name, op in ops.items():
        if name not in passed:
            kept[name] = replace(op, inputs=tuple(_behind(passed, each) for each in op.inputs))
    return replace(graph, ops=kept)


def _is_scale(op: Op) -> bool:
    return OPERATORS[op.kind].scales_channels


def _behind(passed: Mapping[str, str], name: str) -> str:
    # A row of scales is passed one by one, from the norm back.
    while name in passed:
        name = passed[name]
    return name


def merge_sums(graph: Graph) -> Graph:
    """Return the graph with the sum of a sum and a value as one sum of three."""
    read = _count_reads(graph.ops)
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
    # By hand, as a network of a thousand layers is deeper than Python's stack.
    used, waiting = set[str](), [*ends]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(ops[name].inputs)
    return {name: op for name, op in ops.items() if name in used}
