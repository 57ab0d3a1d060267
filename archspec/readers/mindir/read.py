"""MINDIR to Graph: the operators that MindSpore compiled, read back from its model file.

A file of a convolution and a norm holds, in the words of `mindir_file`:

    primitives  "Conv2D:2": Conv2D, stride (1, 1, 2, 2), pad_mode "pad", pad (3, 3, 3, 3), group 1
                "BatchNorm:4": BatchNorm, is_training False, epsilon 1e-05
    graph       input      x                     dims (-1, 3, 224, 224)
                parameter  features.conv0.weight dims (64, 3, 7, 7), and so on
                node       a = Conv2D:2(x, features.conv0.weight)
                node       b = BatchNorm:4(a, features.norm0.gamma, ..beta, ..moving_mean, ..moving_variance)
                node       c = TupleGetItem:5(b, 0)
                output     c

and gives an input, a conv and a batch_norm. The path of a file is mindir_file (bytes to functions), mindir_calls
(functions run on shapes), mindir_primitives with mindir_windows (what each primitive is), and `read_mindir`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from archspec.errors import Diagnostic, ModelFileError, first_of
from archspec.graph.ir import Graph, Op
from archspec.operators.table import OPERATORS
from archspec.readers.mindir.decode import read_model
from archspec.readers.mindir.interpret import run_model
from archspec.readers.tensors import Reading
from archspec.readers.trace import Feature, Found

SOFTMAX = (("Softmax",), ("LogSoftmax",))
"""What is pending of logits that a file's end makes probabilities of."""


def read_mindir(path: Path) -> Graph:
    """Return the graph of a MINDIR file: operators without regions, those alone that lead to the output.

    Uneven padding stays in `padding` as (top, bottom, left, right). Beyond what `OPERATORS` knows, a conv may
    have `bias=True`, a dense `bias=False`, a gelu `approximate="tanh"`, and an operator that uses weights a
    second time `weights_of` the first.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is no MINDIR or is cut short; R007, its
            functions cannot be followed; R008, operators that dense networks do not have.
    """
    return mindir_reading(path).graph


def mindir_reading(path: Path) -> Reading:
    """Return the graph as `read_mindir` does, and where the weights of its operators are."""
    found, ends = run_model(read_model(path), path)
    outputs, notes = without_softmax(ends)
    graph = graph_of(found, outputs, path)
    return Reading(graph, found.weights_of(graph), notes=notes)


def without_softmax(ends: Sequence[Feature]) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Return a file's outputs before the softmax that it may end in, and the notes that say so."""
    kinds = dict.fromkeys(end.pending[0] for end in ends if end.pending in SOFTMAX)
    outputs = (replace(end, pending=()) if end.pending in SOFTMAX else end for end in ends)
    words = "which no spec has: the network before it is compared"
    return tuple(outputs), tuple(f"the file ends in {kind}, {words}" for kind in kinds)


_WHOLE = {part: row.kind for row in OPERATORS.values() for part in row.remains_of}
"""Parts that completed no operator and are one by themselves."""


def graph_of(found: Found, outputs: Sequence[Feature], path: Path) -> Graph:
    """Return the operators that lead to the outputs as a graph, whose outputs stand in the same order.

    Raises:
        ModelFileError: R008, some of them are not what dense networks have.
    """
    for name, op in found.ops.items():
        if op.kind in _WHOLE:
            found.ops[name] = replace(op, kind=_WHOLE[op.kind])
            found.faults.pop(name, None)
    for output in outputs:
        if output.pending:
            found.faults[output.op] = f"an output is part of a {output.pending[0]}"
    used = _leading_to([output.op for output in outputs], found)
    if faults := list(_faults(found, used, path)):
        raise ModelFileError(faults)
    return Graph.of(
        path.stem, _with_outputs([found.ops[name] for name in used], [x.op for x in outputs], found)
    )


def _with_outputs(ops: list[Op], outputs: Sequence[str], found: Found) -> list[Op]:
    """Outputs are what nothing reads: the last one itself where that is so, an `output` of each of the others."""
    if len(outputs) == 1:
        return ops
    *before, last = outputs
    read = {source for op in ops for source in op.inputs} | {*before}
    marked = before if last not in read else outputs
    marks = [
        Op(found.free(f"output {number}"), "output", (name,))
        for number, name in enumerate(marked, start=1)
    ]
    ends = [op for op in ops if op.name == last and last not in read]
    return [*(op for op in ops if op not in ends), *marks, *ends]


def _leading_to(outputs: Sequence[str], found: Found) -> list[str]:
    """Names of the operators that the outputs depend on, in running order."""
    used, waiting = set[str](), [*outputs]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(found.ops[name].inputs)
    return [name for name in found.ops if name in used]


def _faults(found: Found, names: Iterable[str], path: Path) -> Iterator[Diagnostic]:
    """The faults of operators, those that say the same in one line."""
    alike: dict[str, list[str]] = {}
    for name in names:
        if name in found.faults:
            alike.setdefault(found.faults[name], []).append(name)
    for message, nodes in alike.items():
        yield Diagnostic("R008", f"{first_of(nodes)}: {message}", str(path))
