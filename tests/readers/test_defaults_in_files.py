"""An attribute that a node of an ONNX leaves out is what ONNX says it is then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import oracle
import pytest
from onnx import defs, helper
from operators.examples import READING, network_of

from archspec.errors import ModelFileError
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.readers.onnx.read import read_onnx
from archspec.writers.onnx.model import make_onnx


def write_example(kind: str, attrs: Any) -> onnx.ModelProto:
    graph = Graph.of("one", network_of(kind, attrs))
    return make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0))


def list_defaults(kind: str, attrs: Any) -> Iterator[tuple[int, str, Any]]:
    """Yield the number of each node that the kind's own row reads, and an attribute of it that may
    be left out, with what it is then.
    """
    model = write_example(kind, attrs)
    for number, node in enumerate(model.graph.node):
        if node.op_type not in OPERATORS[kind].onnx:
            continue
        schema = defs.get_schema(node.op_type, model.opset_import[0].version)
        for name, attribute in schema.attributes.items():
            if attribute.default_value.type:
                yield number, name, helper.get_attribute_value(attribute.default_value)


CASES = [(kind, attrs, *found) for kind, attrs in READING for found in list_defaults(kind, attrs)]


def read_with(kind: str, attrs: Any, number: int, name: str, value: Any, file: Path) -> Any:
    """What an example is read as whose node has an attribute of this value, or None of it."""
    model = write_example(kind, attrs)
    node = model.graph.node[number]
    others = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(others)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))
    file.write_bytes(model.SerializeToString())
    try:
        return list(read_onnx(file).ops.values())
    except ModelFileError as error:
        return [diagnostic.message for diagnostic in error.diagnostics]


@pytest.mark.parametrize(
    ("kind", "attrs", "number", "name", "default"),
    CASES,
    ids=[f"{kind} {name}" for kind, _, _, name, _ in CASES],
)
def test_what_a_node_leaves_out_is_the_default_of_onnx(
    kind: str, attrs: Any, number: int, name: str, default: Any, tmp_path: Path
) -> None:
    """By the schemas of the onnx package: with the default written down the network is the same,
    or is refused in the same words.
    """
    said = read_with(kind, attrs, number, name, default, tmp_path / "said.onnx")
    unsaid = read_with(kind, attrs, number, name, None, tmp_path / "unsaid.onnx")
    assert repr(unsaid) == repr(said)


def test_defaults_of_many_operators_are_looked_at() -> None:
    kinds = {kind for kind, *_ in CASES}
    assert {"elu", "leaky_relu", "batch_norm", "layer_norm", "max_pool", "dense"} <= kinds
