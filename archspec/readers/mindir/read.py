"""MINDIR to Graph: the operators that MindSpore compiled, read back from its model file.

A file of a convolution and a norm holds, in the words of `decode`:

    primitives  "Conv2D:2": Conv2D, stride (1, 1, 2, 2), pad_mode "pad", pad (3, 3, 3, 3), group 1
                "BatchNorm:4": BatchNorm, is_training False, epsilon 1e-05
    graph       input      x                     dims (-1, 3, 224, 224)
                parameter  features.conv0.weight dims (64, 3, 7, 7), and so on
                node       a = Conv2D:2(x, features.conv0.weight)
                node       b = BatchNorm:4(a, features.norm0.gamma, ..beta, ..mean, ..variance)
                node       c = TupleGetItem:5(b, 0)
                output     c

and gives an input, a conv and a batch_norm. The path of a file is decode (bytes to functions),
interpret (functions run on shapes) with operators (what each primitive is), and `reading_of` (the
graph of what was met).
"""

from __future__ import annotations

from pathlib import Path

from archspec.graph.ir import Graph
from archspec.readers.interpreter import FreeSize
from archspec.readers.mindir.decode import read_model
from archspec.readers.mindir.interpret import run_model
from archspec.readers.reading import Reading, reading_of


def read_mindir(path: Path) -> Graph:
    """Return the graph of a MINDIR file:
    operators without regions, those alone that lead to the output.

    Uneven padding stays in `padding` as (top, bottom, left, right). Beyond what `OPERATORS` knows,
    a conv may have `bias=True`, a dense `bias=False`, a gelu `approximate="tanh"`, and an operator
    that uses weights a second time `weights_of` the first.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is no MINDIR or is cut short; R007,
            its functions cannot be followed; R008, operators that dense networks do not have.
    """
    return mindir_reading(path).graph


def mindir_reading(path: Path, size: FreeSize = None) -> Reading:
    """Return the graph as `read_mindir` does, and where the weights of its operators are."""
    trace, ends = run_model(read_model(path), path, size)
    return reading_of(trace, ends, path)
