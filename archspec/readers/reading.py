"""What a file's run gives:
the graph of the operators that lead to its outputs, and where their weights are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from archspec.errors import Diagnostic, ModelFileError, name_first
from archspec.graph.ir import Graph, Op
from archspec.operators.table import REMAINS
from archspec.readers.tensors import OperatorWeights, values_of
from archspec.readers.trace import Feature, Trace

SOFTMAX = (("Softmax",), ("LogSoftmax",))
"""What is pending of logits that a file's end makes probabilities of."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A model file's graph, and the weights of its operators by their names there."""

    graph: Graph
    weights: Mapping[str, OperatorWeights]
    zero_biases: frozenset[str] | None = field(default=None, kw_only=True)
    """Operators whose bias is all zero; None: nothing drops such biases on the way into a file."""
    norms_shift: bool = field(default=False, kw_only=True)
    """A batch norm is known to add something: the network is not as it was before training."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """What of the file does not stand in the graph."""


def filters_in(path: Path, reading: Reading) -> Callable[[str], Any]:
    """Return what reads the filters of an operator by its name, an array, None where it has none
    or the file does not tell them.
    """

    def filters_of(name: str) -> Any:
        known = reading.weights.get(name, OperatorWeights())
        if len(known.scales) != 1:
            return None
        with values_of(path) as values:
            return values.of(known.scales[0])

    return filters_of


def reading_of(trace: Trace, ends: Sequence[Feature], path: Path) -> Reading:
    """Return the operators that lead to a file's ends, whose outputs stand in the same order.

    Raises:
        ModelFileError: R008, some of them are not what dense networks have.
    """
    outputs, notes = _without_softmax(ends)
    for name, op in trace.ops.items():
        if op.kind in REMAINS:
            kind, attrs = REMAINS[op.kind]
            whole = MappingProxyType({**op.attrs, **attrs})
            trace.ops[name] = replace(op, kind=kind, attrs=whole)
            trace.faults.pop(name, None)
    for output in outputs:
        if output.pending:
            trace.faults[output.op] = f"an output is part of a {output.pending[0]}"
    used = _leading_to([output.op for output in outputs], trace)
    if faults := list(_faults(trace, used, path)):
        raise ModelFileError(faults)
    read = [trace.ops[name] for name in used]
    ops = _with_outputs(read, [x.op for x in outputs], trace)
    graph = Graph.of(path.stem, ops)
    return Reading(graph, trace.weights_of(graph), notes=notes)


def _without_softmax(ends: Sequence[Feature]) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """A file's outputs before the softmax that it may end in, and the notes that say so."""
    kinds = dict.fromkeys(end.pending[0] for end in ends if end.pending in SOFTMAX)
    outputs = [*ends]
    for at, end in enumerate(ends):
        if end.pending in SOFTMAX:
            outputs[at] = replace(end, pending=())
    words = "which no spec has: the network before it is compared"
    return tuple(outputs), tuple(f"the file ends in {kind}, {words}" for kind in kinds)


def _with_outputs(ops: list[Op], outputs: Sequence[str], trace: Trace) -> list[Op]:
    """Outputs are what nothing reads:
    the last one itself where that is so, an `output` of each of the others.
    """
    if len(outputs) == 1:
        return ops
    *before, last = outputs
    read = {source for op in ops for source in op.inputs} | {*before}
    marked = before if last not in read else outputs
    marks = [
        Op(trace.free(f"output {number}"), "output", (name,))
        for number, name in enumerate(marked, start=1)
    ]
    ends = [op for op in ops if op.name == last and last not in read]
    return [*(op for op in ops if op not in ends), *marks, *ends]


def _leading_to(outputs: Sequence[str], trace: Trace) -> list[str]:
    """Names of the operators that the outputs depend on, in running order."""
    used, waiting = set[str](), [*outputs]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(trace.ops[name].inputs)
    return [name for name in trace.ops if name in used]


def _faults(trace: Trace, names: Iterable[str], path: Path) -> Iterator[Diagnostic]:
    """The faults of operators, those that say the same in one line."""
    alike: dict[str, list[str]] = {}
    for name in names:
        if name in trace.faults:
            alike.setdefault(trace.faults[name], []).append(name)
    for message, nodes in alike.items():
        yield Diagnostic("R008", f"{name_first(nodes)}: {message}", str(path))
