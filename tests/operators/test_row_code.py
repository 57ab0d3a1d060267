"""What a row has written, run on its examples and with special values of its settings: a network of
an image and the operator, cell by cell in MindSpore, and as the ONNX that is exported, which is
read back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import oracle
import pytest
from operators.examples import (
    OF_VECTORS,
    READING,
    READING_NAMES,
    VECTOR,
    Shape,
    network_of,
)
from operators.special_values import SPECIAL, SPECIAL_NAMES
from writers.as_ruff import assert_as_ruff_has

from archspec.compare.compare import compare
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.readers.onnx.read import read_onnx
from archspec.runtime import prepare
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.module import write_module
from archspec.writers.onnx.model import make_onnx

TOLERANCE = 1e-5


def import_mindspore() -> Any:
    """In the mode that compiles nothing."""
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    return mindspore


OF_MAPS, OF_MAPS_NAMES = [*READING, *SPECIAL], [*READING_NAMES, *SPECIAL_NAMES]
CASES = [*((*case, ()) for case in OF_MAPS), *((*case, (VECTOR,)) for case in OF_VECTORS)]
CASE_NAMES = [*OF_MAPS_NAMES, *(f"{kind} of a vector" for kind, _ in OF_VECTORS)]
of_cases = pytest.mark.parametrize(("kind", "attrs", "read"), CASES, ids=CASE_NAMES)
"""`read` is what it reads where that is not what the kind's example does."""


def graph_of(kind: str, attrs: Any, read: tuple[Shape, ...]) -> Graph:
    return Graph.of("one", network_of(kind, attrs, *read))


def images_for(graph: Graph) -> Any:
    shape = graph.ops["x"].attrs["shape"]
    return np.random.default_rng(1).normal(0, 4, (2, *shape)).astype(np.float32)


@of_cases
def test_the_code_of_a_row_computes_what_numpy_does(
    kind: str, attrs: Any, read: tuple[Shape, ...]
) -> None:
    """With each setting as the example has it: a number that stands in a text in place of a
    setting is another network's.
    """
    ms, graph = import_mindspore(), graph_of(kind, attrs, read)
    weights, images = oracle.random_parameters(graph.ops.values(), 0), images_for(graph)
    network = create_network(graph)
    given = {name: ms.Parameter(value, name=name) for name, value in weights.items()}
    assert ms.load_param_into_net(network, given) == ([], [])
    made = network.set_train(False)(ms.Tensor(images)).asnumpy()
    right = oracle.forward(graph.ops.values(), weights, images)
    assert oracle.distance(made, right) <= TOLERANCE


@of_cases
def test_the_onnx_of_a_row_computes_what_numpy_does_and_is_read_back(
    kind: str, attrs: Any, read: tuple[Shape, ...], tmp_path: Path
) -> None:
    """As the operator that it was, with each of its settings; a number that stands in a reading in
    place of one is another than one of the values.
    """
    graph, file = graph_of(kind, attrs, read), tmp_path / "one.onnx"
    weights, images = oracle.random_parameters(graph.ops.values(), 0), images_for(graph)
    file.write_bytes(make_onnx(graph, weights).SerializeToString())
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": images})
    right = oracle.forward(graph.ops.values(), weights, images)
    assert oracle.distance(made, right) <= TOLERANCE
    found = compare(graph, read_onnx(file))
    assert found.differences == ()
    row, channels = OPERATORS[kind], graph.ops["x"].attrs["shape"][0]
    if kind != "output" and not row.is_idle(attrs, channels):
        (*_, last) = read_onnx(file).ops.values()
        assert last.kind in (kind, row.same_as(attrs))


def test_the_module_of_each_kind_is_as_ruff_has_it(tmp_path: Path) -> None:
    """No call of a row is written as a formatter would not."""
    graphs = [graph_of(kind, attrs, read) for kind, attrs, read in CASES]
    assert_as_ruff_has(tmp_path, *map(write_module, graphs))
