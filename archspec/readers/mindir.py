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

from collections.abc import Iterable, Iterator
from pathlib import Path

from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.ir import Graph
from archspec.readers.mindir_calls import run_model
from archspec.readers.mindir_file import read_model
from archspec.readers.mindir_values import Feature, Found


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
    return graph_of(*run_model(read_model(path), path), path)


def graph_of(found: Found, output: Feature, path: Path) -> Graph:
    """Return the operators that lead to the output as a graph.

    Raises:
        ModelFileError: R008, some of them are not what dense networks have.
    """
    if output.pending:
        found.faults[output.op] = f"the output is part of a {output.pending[0]}"
    used = _leading_to(output.op, found)
    if faults := list(_faults(found, used, path)):
        raise ModelFileError(faults)
    return Graph.of(path.stem, [found.ops[name] for name in used])


def _leading_to(output: str, found: Found) -> list[str]:
    """Names of the operators that the output depends on, in running order."""
    used, waiting = set[str](), [output]
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
        who = f"{nodes[0]} and {len(nodes) - 1} more" if nodes[1:] else nodes[0]
        yield Diagnostic("R008", f"{who}: {message}", str(path))
