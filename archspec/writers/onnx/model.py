"""A graph and its weights as a whole ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from onnx import ModelProto, TensorProto, ValueInfoProto, defs, helper

from archspec.errors import ArchspecError
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes
from archspec.writers.onnx.older_opsets import OLDEST, say_in_opset
from archspec.writers.onnx.onnx_nodes import Nodes, Tensors, write_nodes

OPSET = 18
"""The version of ONNX's operators in which rows write theirs, of the end of 2022."""


def check_opset(opset: int) -> None:
    """Raise ArchspecError (W004) for a version of the operators that is not written or known."""
    newest = defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        rule = f"opset (={opset}) must be from {OLDEST} to {newest}, the newest that onnx knows"
        raise ArchspecError.one("W004", rule)


def make_onnx(
    graph: Graph,
    tensors: Tensors,
    *,
    opset: int = OPSET,
    batch: int | None = None,
    is_sized: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """Return a verified graph with weights as an ONNX model that reads (N, C, H, W), float32.

    Args:
        graph: one that no rule finds fault with.
        tensors: parameters and moving statistics by name, as `create_model` calls them.
        opset: the version of ONNX's operators.
        batch: N; free where absent.
        is_sized: height and width are the spec's; else they are free.
        metadata: texts that stand in the file.

    Raises:
        ArchspecError: W004, an opset that is not written, or that does not have an operator;
            height and width are free and operators depend on them.
    """
    check_opset(opset)
    made = write_nodes(graph, tensors, is_sized=is_sized)
    say_in_opset(made, opset)
    shapes, _ = infer_shapes(graph)
    first = batch or "batch"
    inputs = []
    for name in graph.inputs:
        channels, height, width = shapes[name]
        sizes = (height, width) if is_sized else ("height", "width")
        inputs.append(_describe(name, [first, channels, *sizes]))
    outputs = []
    for name in graph.outputs:
        channels, *pixels = shapes[name]
        known = pixels if is_sized else [None] * len(pixels)
        outputs.append(_describe(_own_output(made, name), [first, channels, *known]))
    initializers = [*made.initializers.values()]
    body = helper.make_graph(made.nodes, graph.name, inputs, outputs, initializers)
    operators = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        body,
        opset_imports=operators,
        ir_version=helper.find_min_ir_version_for(operators),
        producer_name="densenet-archspec",
        producer_version=version("densenet-archspec"),
    )
    helper.set_model_props(model, dict(metadata or {}))
    return model


def _own_output(made: Nodes, name: str) -> str:
    """The value that an operator gives, under its name: one that writes nothing gives another's."""
    if made.values[name] != name:
        made.nodes.append(helper.make_node("Identity", [made.values[name]], [name], name=name))
    return name


def _describe(name: str, sizes: Sequence[int | str | None]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
